"""Lays releases out as the model repositories of other servers: Triton (and KServe with it), TensorFlow Serving."""
