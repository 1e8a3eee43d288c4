"""Rows by their numbers, which Keras has for one table and not for one of each picture."""

from typing import Any

from models.lazy import keras


def rows_at(rows: Any, indices: Any) -> Any:
    """Rows of each picture, or of a table that all pictures share, by their numbers.

    Shapes: [B, P, D] or [P, D], int [B, K] -> [B, K, D].
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One operation of a file. Keras' looks for negative numbers, in twenty.
        return tf.gather(rows, indices, batch_dims=len(rows.shape) - 2)
    if len(rows.shape) == 2:
        return keras.ops.take(rows, indices, axis=0)
    return keras.ops.take_along_axis(rows, keras.ops.expand_dims(indices, 2), axis=1)
