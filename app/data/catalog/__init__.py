"""Data sets that have a name. A module with DATASETS each; there is no list to edit."""
