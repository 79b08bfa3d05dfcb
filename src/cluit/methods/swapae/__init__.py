"""Swapping Autoencoder for Deep Image Manipulation (see README.md)."""
