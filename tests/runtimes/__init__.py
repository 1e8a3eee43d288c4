"""Releases in runtimes that know nothing of this project."""
