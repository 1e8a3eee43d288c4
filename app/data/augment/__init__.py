"""Augmentation: every picture of a batch changed in its own way, its boxes or mask with it; by objective in `policies`."""
