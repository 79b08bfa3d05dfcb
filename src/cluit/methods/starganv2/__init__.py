"""StarGAN v2: Diverse Image Synthesis for Multiple Domains (see README.md)."""
