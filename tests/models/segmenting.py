"""What the tests of every segmentation network ask."""

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from app.deploy import INPUT, inference_model
from app.export.graph import write_saved_model
from app.export.onnx import OPSET
from app.train.losses.segmentation import LOSSES
from models.saved import load_network
from tests.models.built import narrow, pictures


def masks(shape, classes, count=4):
    """A class for every 4x4 pixels, some of it void."""
    rng = np.random.default_rng(1)
    drawn = rng.choice([*range(classes), 255], (count, -(-shape[0] // 4), -(-shape[1] // 4)))
    return drawn.repeat(4, axis=1).repeat(4, axis=2)[:, : shape[0], : shape[1]].astype(np.uint8)


def unreached(network, shape, classes):
    """The weights that no gradient of the first step reaches."""
    with tf.GradientTape() as tape:
        loss = LOSSES["cross_entropy_dice"]()(masks(shape, classes, 8), network(pictures(shape, 8), training=True))
    weights = network.trainable_weights
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    pairs = zip(weights, gradients, strict=True)
    return [weight.path for weight, gradient in pairs if gradient is None or not np.abs(gradient).max() > 0]


def learn(name, shape, epochs, **options):
    """The mean IoU of a narrow network on the eight pictures that it has learnt by heart."""
    network = narrow(name, shape, 3, **options)
    truth = masks(shape, 2, 8) % 255
    rng = np.random.default_rng(2)
    shades = np.array([60, 190])[truth.astype(int).clip(0, 1)] + rng.normal(0, 10, truth.shape)
    images = shades.clip(0, 255).astype(np.float32)[..., None].repeat(shape[2], axis=3)
    network.compile(keras.optimizers.Adam(3e-3), LOSSES["cross_entropy_dice"]())
    network.fit(images, truth, batch_size=4, epochs=epochs, verbose=0)
    answers = np.asarray(network(images, training=False)).argmax(axis=3)
    return np.mean([(truth == c)[answers == c].sum() / ((truth == c) | (answers == c)).sum() for c in range(2)])


def reloaded(network, file):
    network.save(file)
    return load_network(file)


def settled(network):
    """The network with statistics of normalisation, and scores of skipped layers, that are not those of the start."""
    rng = np.random.default_rng(3)
    for weight in network.weights:
        value = np.asarray(weight)
        if not value.any() or weight.path.endswith("moving_variance"):
            weight.assign(np.abs(rng.normal(0.1, 0.02, value.shape)) + value * 0.9)
    return network


def converted(network, folder, images):
    """What Keras, a TFLite file of nothing but builtins, and an ONNX file answer."""
    import tf2onnx

    model = inference_model(network, "segmentation")
    file = tf.lite.TFLiteConverter.from_saved_model(str(write_saved_model(model, folder / "model", batch=1))).convert()
    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    answers = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)]
    function = tf.function(lambda image: model(image), input_signature=signature)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(model(images)["masks"]), np.stack(answers), session.run(None, {INPUT: images})[0]
