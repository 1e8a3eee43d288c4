"""Inference graph -> TFLite files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.export.graph import Graph, Notes
from app.export.metadata import Description, aligned, ordered_outputs, output_names, with_metadata
from app.objectives import OBJECTIVES
from app.release import is_body, tail_of

LABELLED = {"classification": "probabilities", "detection": "classes", "segmentation": "masks"}  # which output has classes
CALIBRATED = "per channel, {} calibration pictures"


def fp32(graph: Graph, path: Path) -> str:
    """Everything in float32."""
    return _write(graph, path, lambda _converter: None)


def fp16(graph: Graph, path: Path) -> str:
    """Weights in float16; most phones compute with them in float32."""

    def settings(converter: Any) -> None:
        import tensorflow as tf

        _optimised(converter)
        converter.target_spec.supported_types = [tf.float16]

    return _write(graph, path, settings)


def dynamic(graph: Graph, path: Path) -> str:
    """Weights in int8; activations are rounded as they come, by their range in each picture."""
    _write(graph, path, _optimised)
    return "weights alone"


def int8(graph: Graph, path: Path) -> str:
    """Weights and activations in int8, pixels as the bytes they are, probabilities as real numbers.

    Of a detector that is its body; a second file beside it has the heads and the rest in floats.
    """

    def settings(converter: Any) -> None:
        import tensorflow as tf

        _optimised(converter)
        converter.representative_dataset = graph.calibrating
        converter.inference_input_type = tf.uint8

    if graph.notes.objective != "detection":
        _write(graph, path, settings)
        return CALIBRATED.format(len(graph.calibration))
    body, tail = graph.halves
    other = tail_of(path)
    _write_half(graph, body, path, settings, f"the first half, {other.name} is the second")
    _write_half(graph, tail, other, lambda _converter: None, f"the second half, {path.name} is the first")
    return f"{CALIBRATED.format(len(graph.calibration))}; heads and boxes in float32, in {other.name}"


def mcu(graph: Graph, path: Path) -> str:
    """Int8 from end to end with the network's own channels: what TFLite Micro takes. Pixels are bytes less 128."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(graph.bare_saved_model))
    _optimised(converter)
    converter.representative_dataset = lambda: graph.calibrating(graph.bare.input_shape[-1])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(aligned(converter.convert()))
    return CALIBRATED.format(len(graph.calibration))


def _write(graph: Graph, path: Path, settings: Callable[[Any], None]) -> str:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(graph.saved_model))
    settings(converter)
    path.write_bytes(with_metadata(ordered_outputs(converter.convert(), _outputs(graph.notes)), _description(graph.notes)))
    return ""


def _write_half(graph: Graph, source: Path, path: Path, settings: Callable[[Any], None], part: str) -> None:
    """One of the two files of a detector that is cut in two."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(source))
    settings(converter)
    model = converter.convert()
    notes, names = graph.notes, output_names(model)
    said = replace(_description(notes), description=f"{notes.description}; {part}")
    if is_body(names):
        path.write_bytes(with_metadata(ordered_outputs(model, names), replace(said, labelled="")))
    else:
        path.write_bytes(with_metadata(ordered_outputs(model, _outputs(notes)), said))


def _outputs(notes: Notes) -> tuple[str, ...]:
    return OBJECTIVES[notes.objective].outputs


def _description(notes: Notes) -> Description:
    return Description(
        name=notes.name,
        description=notes.description,
        licence=notes.licence,
        labels=notes.classes,
        labelled=LABELLED[notes.objective],
    )


def _optimised(converter: Any) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
