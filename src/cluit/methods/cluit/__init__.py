"""CLUIT: Contrastive Learning for Unsupervised Image-to-Image Translation (see README.md)."""
