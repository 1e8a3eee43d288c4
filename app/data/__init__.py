"""Picture data: found, split, decoded once, checked, and given to the training in batches."""
