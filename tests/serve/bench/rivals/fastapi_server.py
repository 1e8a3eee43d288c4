"""A FastAPI service of one ONNX file: fastapi_server.py MODEL LABELS PORT [THREADS-OF-A-RUN].

Its documentation would have what blocks in plain functions, which it runs in a pool of threads. Under `/inline` is the same
on the event loop: less work for a small network, but nothing else is answered meanwhile.
"""

import io
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
import uvicorn
from fastapi import Body, FastAPI
from PIL import Image
from pydantic import BaseModel


class Tensor(BaseModel):
    """A tensor in the JSON of the Open Inference Protocol."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Tensors(BaseModel):
    """What is asked."""

    inputs: list[Tensor]


class Outputs(BaseModel):
    """What is answered."""

    model_name: str
    outputs: list[Tensor]


class Label(BaseModel):
    """A class and how likely it is."""

    label: str
    probability: float


class Prediction(BaseModel):
    """The likeliest classes of a picture, in their order."""

    labels: list[Label]


model, labels_file, port, *threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
if threads:
    options.intra_op_num_threads = int(threads[0])
session = onnxruntime.InferenceSession(model, options)
labels = Path(labels_file).read_text().splitlines()
_, height, width, _ = session.get_inputs()[0].shape
app = FastAPI()


@app.get("/health")
def health() -> None:
    """Whether it can be asked."""


@app.post("/infer")
def infer(request: Tensors) -> Outputs:
    """The probabilities of a tensor of pictures."""
    [image] = request.inputs
    array = np.array(image.data, np.float32).reshape(image.shape)
    [output] = session.run(None, {image.name: array})
    tensor = Tensor(name="probabilities", shape=list(output.shape), datatype="FP32", data=output.ravel().tolist())
    return Outputs(model_name="model", outputs=[tensor])


@app.post("/predict")
def predict(picture: Annotated[bytes, Body()]) -> Prediction:
    """The likeliest classes of a PNG or JPEG."""
    pixels = Image.open(io.BytesIO(picture)).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    [[probabilities]] = session.run(None, {"image": np.asarray(pixels, np.float32)[None]})
    best = np.argsort(-probabilities)[:5]
    return Prediction(labels=[Label(label=labels[number], probability=float(probabilities[number])) for number in best])


@app.post("/inline/infer")
async def infer_inline(request: Tensors) -> Outputs:
    """See `infer`."""
    return infer(request)


@app.post("/inline/predict")
async def predict_inline(picture: Annotated[bytes, Body()]) -> Prediction:
    """See `predict`."""
    return predict(picture)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", access_log=False)
