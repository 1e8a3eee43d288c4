"""What `repository --layout triton` writes and what the service tells are the same names, types and answers."""

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format
from google.protobuf.json_format import ParseDict
from PIL import Image

from app.repository.place import write
from app.repository.plan import choose
from app.repository.triton import triton
from app.serve.messages import inference


@pytest.fixture(scope="module")
def repository(release, tmp_path_factory):
    out = tmp_path_factory.mktemp("triton")
    write(triton(choose([release.folder.parent])), out)
    return out / release.name


def test_the_configurations_tell_the_same_of_the_tensors(server, release, repository):
    text = (repository / "config.pbtxt").read_text()
    # By the message that clients read; what of Triton's own settings the service has no word for is skipped.
    theirs = text_format.Parse(text, inference.ModelConfig(), allow_unknown_field=True)
    ours = ParseDict(server.get(f"/v2/models/{release.name}/config").json(), inference.ModelConfig())
    for field in ("name", "backend", "max_batch_size", "input", "output"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert ours.input
    assert ours.output


def test_the_answers_are_the_same(server, release, repository):
    session = onnxruntime.InferenceSession(repository / "1" / "model.onnx")
    samples = sorted((release.folder / "samples").glob("*.png"))[:8]
    pictures = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in samples])
    theirs = session.run(["probabilities"], {"image": pictures.astype(np.float32)})[0]
    tensor = {"name": "image", "shape": pictures.shape, "datatype": "FP32", "data": pictures.ravel().tolist()}
    [output] = server.post(f"/v2/models/{release.name}/infer", {"inputs": [tensor]}).json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [8, 10])
    assert np.abs(np.reshape(output["data"], output["shape"]) - theirs).max() < 1e-5
