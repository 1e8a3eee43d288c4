"""File formats of annotated pictures."""
