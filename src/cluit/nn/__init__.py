"""Blocks with no opinion about any paper."""
