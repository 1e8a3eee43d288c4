"""The configurations, read with the schemas that Triton and TensorFlow Serving publish."""

import json
import subprocess

import onnxruntime
import pytest

from app.repository.place import write
from app.repository.plan import choose
from app.repository.tfserving import tfserving
from app.repository.triton import triton
from tests.runtimes.environments import NUMPY, Environment, installed

# Of TensorFlow Serving's client nothing but its schemas is needed, not TensorFlow, which it asks for.
SCHEMAS = Environment(
    "schemas",
    ("--no-deps", "tritonclient==2.73.0", "tensorflow-serving-api==2.21.0", "grpcio==1.85.1", "protobuf==6.33.6",
     "ml_dtypes==0.5.4", "python-rapidjson==1.25", "urllib3==2.8.0", "packaging==26.3", "typing_extensions==4.16.0", NUMPY),
)  # fmt: skip
READ = """
import sys
from google.protobuf import json_format, text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig
from tritonclient.grpc.model_config_pb2 import ModelConfig
message = {"config.pbtxt": ModelConfig, "models.config": ModelServerConfig}[sys.argv[1].rsplit("/", 1)[1]]()
text_format.Parse(open(sys.argv[1]).read(), message)
print(json_format.MessageToJson(message, preserving_proto_field_name=True))
"""


@pytest.fixture(scope="session")
def schemas():
    """Python with the schemas."""
    return installed(SCHEMAS)


def parsed(python, file):
    done = subprocess.run([python, "-c", READ, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("versions", "policy"),
    [([""], {"latest": {"num_versions": 1}}), (["1"], {"specific": {"versions": ["1"]}}), ([], {"all": {}})],
)
def test_triton_reads_the_configuration_as_the_file_has_its_tensors(schemas, exported, release, tmp_path, versions, policy):
    name = release.name
    models = choose([exported / name / version for version in versions] or [exported / name], every=not versions)
    write(triton(models), tmp_path)
    read = parsed(schemas, tmp_path / name / "config.pbtxt")
    session = onnxruntime.InferenceSession(release.folder / "model.onnx", providers=["CPUExecutionProvider"])

    def told(tensors, **more):
        sides = [[str(side) for side in tensor.shape[1:]] for tensor in tensors]
        return [
            {"name": tensor.name, "data_type": "TYPE_FP32", "dims": dims, **more}
            for tensor, dims in zip(tensors, sides, strict=True)
        ]

    assert {tensor.type for tensor in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    assert read == {
        "name": name,
        "backend": "onnxruntime",
        "max_batch_size": 64,
        "input": told(session.get_inputs()),
        "output": told(session.get_outputs(), label_filename="labels.txt"),
        "version_policy": policy,
        "instance_group": [{"kind": "KIND_CPU", "count": 1}],
        "dynamic_batching": {"preferred_batch_size": [8, 16, 32], "max_queue_delay_microseconds": "1000"},
    }


@pytest.mark.slow
def test_tensorflow_serving_reads_its_list(schemas, exported, release, tmp_path):
    write(tfserving(choose([exported / release.name / "1", exported / release.name / "2"]), tmp_path), tmp_path)
    assert parsed(schemas, tmp_path / "models.config") == {
        "model_config_list": {
            "config": [
                {
                    "name": release.name,
                    "base_path": f"/models/{release.name}",
                    "model_platform": "tensorflow",
                    "model_version_policy": {"specific": {"versions": ["1", "2"]}},
                }
            ]
        }
    }
