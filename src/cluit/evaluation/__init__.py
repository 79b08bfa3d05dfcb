"""How good a translation is, measured."""
