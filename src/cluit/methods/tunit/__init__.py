"""TUNIT: Rethinking the Truly Unsupervised Image-to-Image Translation (see README.md)."""
