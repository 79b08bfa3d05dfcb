"""What every room shares: the two doors, the pixel convention, chance, the machine."""
