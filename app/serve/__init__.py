"""The inference service: releases behind HTTP and gRPC, in processes that hold neither TensorFlow nor Keras."""
