"""Layers that Keras lacks, one file each."""
