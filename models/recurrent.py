"""Recurrent networks that read a picture row by row, from the top."""

from dataclasses import replace
from functools import partial
from typing import Any

from models.blocks import picture
from models.lazy import keras
from models.spec import ModelSpec, Recipe, Shape

DEEPEST = 20  # layers, each of as many steps as the picture has rows


def recurrent(kind: str, input_shape: Shape, classes: int, *, units: int = 128, depth: int = 2, dropout: float = 0.0) -> Any:
    """Each row is a step; `depth` layers of `units`, the last one's state after the last row, one logit a class.

    The steps are unrolled: their number is the picture's height, and a loop with a free batch size has no form in TFLite's
    builtin operations.

    Args:
        kind: SimpleRNN, LSTM or GRU.
    Raises:
        ValueError: there is no layer, or there are too many.
    Shapes: [B, H, W, C] -> H steps of [B, W * C] -> [B, classes].
    """
    if not 1 <= depth <= DEEPEST:
        raise ValueError(f"{depth} layers; give 1 to {DEEPEST}")
    height, width, channels = input_shape
    layer = getattr(keras.layers, kind)
    image, x = picture(input_shape)
    x = keras.layers.Reshape((height, width * channels), name="rows")(x)
    for number in range(1, depth + 1):
        x = layer(units, return_sequences=number < depth, unroll=True, name=f"recurrent{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout{number}")(x)
    return keras.Model(image, keras.layers.Dense(classes, name="logits")(x), name=kind.lower())


STEADY = Recipe(weight_decay=0.01, clip_norm=1.0, dropout=0.2, augment="digits")  # gradients through many steps need the clip
DIGITS = replace(STEADY, epochs=40, batch_size=32)
MNIST = replace(STEADY, epochs=12, learning_rate=3e-3, label_smoothing=0.05, clean_epochs=0.08)
# Small weights: rounded to float16 and used at every step, larger ones lead too far from what was trained.
MNIST_SIMPLE = replace(MNIST, epochs=24, learning_rate=1e-3, weight_decay=0.05, clean_epochs=0.04)
PHOTOS = replace(STEADY, epochs=30, dropout=0.3, augment="crop+flip")

SPECS = [
    ModelSpec(
        name=name,
        title=title,
        year=year,
        paper=paper,
        build=partial(recurrent, kind),
        input_shape=(28, 28, 1),
        min_size=2,
        parameters=parameters,
        macs=macs,
        recipes={"*": PHOTOS, "digits": DIGITS, "mnist": mnist},
        reached={"mnist": reached},
    )
    for name, kind, title, year, paper, parameters, macs, mnist, reached in (
        ("rnn", "SimpleRNN", "Simple recurrent network over rows", 1990,
         "Elman: Finding structure in time. Cognitive Science 14", 54_282, 1_477_888, MNIST_SIMPLE, 99.07),
        ("lstm", "LSTM", "Long short-term memory over rows", 1997,
         "Hochreiter, Schmidhuber: Long short-term memory. Neural Computation 9", 213_258, 5_907_712, MNIST, 99.50),
        ("gru", "GRU", "Gated recurrent units over rows", 2014,
         "Cho et al.: Learning phrase representations using RNN encoder-decoder. EMNLP", 161_034, 4_431_104, MNIST, 99.43),
    )
]  # fmt: skip
