"""Turns a run into a release: files for several runtimes, each one run and compared before it is written down."""
