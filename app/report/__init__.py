"""What a run came to, for people: a page with pictures, and runs side by side. Reads run folders alone."""
