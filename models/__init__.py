"""The networks: Keras functional definitions of the classic CNNs, and the registry that finds them."""
