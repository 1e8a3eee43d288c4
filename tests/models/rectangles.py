"""Pictures that a detector learns in seconds: bright rectangles on grey, of the class of their colour."""

import keras
import numpy as np

from app.metrics.detection import measure
from models import layers

COLOURS = ["red", "green", "blue"]


def rectangles(count, side=64, seed=0):
    """Pictures float32 [N, side, side, 3] with two rectangles each, and their boxes [N, 3, 6]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(90, 10, (count, side, side, 3)).astype(np.float32)
    boxes = np.zeros((count, 3, 6), np.float32)
    boxes[:, :, 4] = -1
    for picture in range(count):
        for half in range(2):
            height, width = rng.integers(side // 5, side // 2 - 4, 2)
            top, left = rng.integers(0, side - height), half * side // 2 + rng.integers(0, side // 2 - width)
            label = rng.integers(3)
            images[picture, top : top + height, left : left + width, label] = 250
            boxes[picture, half] = [top / side, left / side, (top + height) / side, (left + width) / side, label, 0]
    return images, boxes


def map50_of(network, images, truth):
    """mAP@.5 of a detector on what it was trained on.

    The statistics of batch normalisation follow slowly: those of the batch itself are what was trained with.
    """
    boxes, scores = network.get_layer("predictions").detections(network.output)
    finished = keras.Model(network.input, layers.NonMaxSuppression(300, 20)(boxes, scores))
    outputs = {name: np.asarray(value) for name, value in finished(images, training=True).items()}
    return measure(outputs, truth, COLOURS)["map50"]


def outputs_of_files(model, image, folder):
    """What a TFLite file of nothing but builtins, and an ONNX file, answer to a picture of 64x64."""
    import onnxruntime
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    signature = [tf.TensorSpec((1, 64, 64, 3), tf.float32, name="image")]
    model.export(folder / "saved", input_signature=signature, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    runner = Interpreter(model_content=converter.convert()).get_signature_runner()
    model.export(folder / "model.onnx", format="onnx", input_signature=signature, verbose=False)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return runner(image=image), dict(zip(names, session.run(None, {"image": image}), strict=True))
