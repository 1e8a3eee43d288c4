"""The files of a release, a row each."""

from __future__ import annotations

from pathlib import Path

from app.export import onnx, tflite
from app.export.graph import Graph, Variant, write_saved_model


def _saved_model(graph: Graph, path: Path) -> str:
    write_saved_model(graph.model, path, batch=None)
    return ""


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("saved_model", "saved_model", "saved_model", "fp32", _saved_model),
        Variant("tflite-fp32", "model-fp32.tflite", "tflite", "fp32", tflite.fp32),
        Variant("tflite-fp16", "model-fp16.tflite", "tflite", "fp16", tflite.fp16),
        Variant("tflite-dynamic", "model-dynamic.tflite", "tflite", "dynamic", tflite.dynamic),
        Variant("tflite-int8", "model-int8.tflite", "tflite", "int8", tflite.int8, optional=True),
        Variant("tflite-mcu", "model-mcu.tflite", "tflite", "int8", tflite.mcu, optional=True, objectives=("classification",)),
        Variant("onnx-fp32", "model.onnx", "onnx", "fp32", onnx.fp32),
        Variant("onnx-fp16", "model-fp16.onnx", "onnx", "fp16", onnx.fp16),
        Variant("onnx-int8", "model-int8.onnx", "onnx", "int8", onnx.int8, optional=True),
    )
}
