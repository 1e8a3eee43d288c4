"""What a network is made of, and what it looks at."""
