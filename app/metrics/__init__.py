"""How good finished outputs are, a file a kind of question: the same figures for a Keras model, a TFLite file and a release."""
