"""A LitServe service of one ONNX file: litserve_server.py MODEL LABELS PORT tensors|pictures."""

import io
import sys
from pathlib import Path
from typing import Annotated

import litserve
import numpy as np
import onnxruntime
from fastapi import Body
from PIL import Image

model, labels_file, port, takes = sys.argv[1:]


class Tensors(litserve.LitAPI):
    """Answers the JSON of the Open Inference Protocol."""

    def setup(self, device):
        self.session = onnxruntime.InferenceSession(model)

    def decode_request(self, request):
        [image] = request["inputs"]
        return np.array(image["data"], np.float32).reshape(image["shape"][1:])

    def predict(self, x):
        [outputs] = self.session.run(None, {"image": x})
        return outputs

    def encode_response(self, output):
        tensor = {"name": "probabilities", "shape": [1, len(output)], "datatype": "FP32", "data": output.tolist()}
        return {"model_name": "model", "outputs": [tensor]}


class Pictures(Tensors):
    """Answers PNG and JPEG with the likeliest classes."""

    def setup(self, device):
        super().setup(device)
        self.labels = Path(labels_file).read_text().splitlines()
        _, self.height, self.width, _ = self.session.get_inputs()[0].shape

    def decode_request(self, request: Annotated[bytes, Body()]):
        pixels = Image.open(io.BytesIO(request)).convert("RGB")
        return np.asarray(pixels.resize((self.width, self.height), Image.Resampling.BILINEAR), np.float32)

    def encode_response(self, output):
        best = np.argsort(-output)[:5]
        return {"labels": [{"label": self.labels[number], "probability": float(output[number])} for number in best]}


if __name__ == "__main__":
    # Eight a batch, and what its documentation advises for hundreds of requests a second. Without a time to wait for a batch
    # it would poll its queue all the time, which costs more.
    api = {"tensors": Tensors, "pictures": Pictures}[takes](max_batch_size=8, batch_timeout=0.01)
    server = litserve.LitServer(api, accelerator="cpu", devices=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(port), log_level="warning", access_log=False, generate_client_file=False)
