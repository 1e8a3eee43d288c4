"""The messages of gRPC: those of package `inference` that the service takes and gives, made from a table when this is imported.

They lie in a pool of their own, so that a client's generated copy of the same package can live in the same process.

Source: KServe's "Open Inference Protocol", gRPC; Triton's "Model Configuration", "Statistics" and "Model Repository" extensions.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
ENUMS = {
    "DataType": "TYPE_INVALID TYPE_BOOL TYPE_UINT8 TYPE_UINT16 TYPE_UINT32 TYPE_UINT64 TYPE_INT8 TYPE_INT16 TYPE_INT32 "
    "TYPE_INT64 TYPE_FP16 TYPE_FP32 TYPE_FP64 TYPE_STRING TYPE_BF16",
    "ModelInstanceGroup.Kind": "KIND_AUTO KIND_GPU KIND_CPU KIND_MODEL",
}
# `number name type`, where [type] is a list, {type} a map from strings, and `of ...` names what the field is one choice of.
MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions [string]",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "ModelMetadataResponse": "1 name string, 2 versions [string], 3 platform string, "
    "4 inputs [ModelMetadataResponse.TensorMetadata], 5 outputs [ModelMetadataResponse.TensorMetadata]",
    "ModelMetadataResponse.TensorMetadata": "1 name string, 2 datatype string, 3 shape [int64]",
    "InferParameter": "1 bool_param bool of parameter_choice, 2 int64_param int64 of parameter_choice, "
    "3 string_param string of parameter_choice, 4 double_param double of parameter_choice, "
    "5 uint64_param uint64 of parameter_choice",
    "InferTensorContents": "1 bool_contents [bool], 2 int_contents [int32], 3 int64_contents [int64], 4 uint_contents [uint32], "
    "5 uint64_contents [uint64], 6 fp32_contents [float], 7 fp64_contents [double], 8 bytes_contents [bytes]",
    "ModelInferRequest": "1 model_name string, 2 model_version string, 3 id string, 4 parameters {InferParameter}, "
    "5 inputs [ModelInferRequest.InferInputTensor], 6 outputs [ModelInferRequest.InferRequestedOutputTensor], "
    "7 raw_input_contents [bytes]",
    "ModelInferRequest.InferInputTensor": "1 name string, 2 datatype string, 3 shape [int64], 4 parameters {InferParameter}, "
    "5 contents InferTensorContents",
    "ModelInferRequest.InferRequestedOutputTensor": "1 name string, 2 parameters {InferParameter}",
    "ModelInferResponse": "1 model_name string, 2 model_version string, 3 id string, 4 parameters {InferParameter}, "
    "5 outputs [ModelInferResponse.InferOutputTensor], 6 raw_output_contents [bytes]",
    "ModelInferResponse.InferOutputTensor": "1 name string, 2 datatype string, 3 shape [int64], 4 parameters {InferParameter}, "
    "5 contents InferTensorContents",
    "ModelConfigRequest": "1 name string, 2 version string",
    "ModelConfigResponse": "1 config ModelConfig",
    "ModelConfig": "1 name string, 2 platform string, 17 backend string, 4 max_batch_size int32, 5 input [ModelInput], "
    "6 output [ModelOutput], 7 instance_group [ModelInstanceGroup], "
    "11 dynamic_batching ModelDynamicBatching of scheduling_choice",
    "ModelInput": "1 name string, 2 data_type DataType, 4 dims [int64]",
    "ModelOutput": "1 name string, 2 data_type DataType, 3 dims [int64], 5 reshape ModelTensorReshape, 4 label_filename string",
    "ModelTensorReshape": "1 shape [int64]",
    "ModelInstanceGroup": "1 name string, 4 kind ModelInstanceGroup.Kind, 2 count int32",
    "ModelDynamicBatching": "1 preferred_batch_size [int32], 2 max_queue_delay_microseconds uint64",
    "ModelStatisticsRequest": "1 name string, 2 version string",
    "ModelStatisticsResponse": "1 model_stats [ModelStatistics]",
    "ModelStatistics": "1 name string, 2 version string, 3 last_inference uint64, 4 inference_count uint64, "
    "5 execution_count uint64, 6 inference_stats InferStatistics, 7 batch_stats [InferBatchStatistics]",
    "InferStatistics": "1 success StatisticDuration, 2 fail StatisticDuration, 3 queue StatisticDuration, "
    "4 compute_input StatisticDuration, 5 compute_infer StatisticDuration, 6 compute_output StatisticDuration, "
    "7 cache_hit StatisticDuration, 8 cache_miss StatisticDuration",
    "StatisticDuration": "1 count uint64, 2 ns uint64",
    "InferBatchStatistics": "1 batch_size uint64, 2 compute_input StatisticDuration, 3 compute_infer StatisticDuration, "
    "4 compute_output StatisticDuration",
    "RepositoryIndexRequest": "1 repository_name string, 2 ready bool",
    "RepositoryIndexResponse": "1 models [RepositoryIndexResponse.ModelIndex]",
    "RepositoryIndexResponse.ModelIndex": "1 name string, 2 version string, 3 state string, 4 reason string",
    "ModelRepositoryParameter": "1 bool_param bool of parameter_choice, 2 int64_param int64 of parameter_choice, "
    "3 string_param string of parameter_choice, 4 bytes_param bytes of parameter_choice",
    "RepositoryModelLoadRequest": "1 repository_name string, 2 model_name string, 3 parameters {ModelRepositoryParameter}",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "1 repository_name string, 2 model_name string, 3 parameters {ModelRepositoryParameter}",
    "RepositoryModelUnloadResponse": "",
}
FIELD = re.compile(r"(\d+) (\w+) (\[|\{)?([\w.]+)[\]}]?(?: of (\w+))?")


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for name, fields in MESSAGES.items():  # what holds others is in the table before them
        outer, _, own = name.rpartition(".")
        message = made[name] = (made[outer].nested_type if outer else file.message_type).add(name=own)
        for field in filter(None, fields.split(", ")):
            _add_field(message, name, field)
    for name, labels in ENUMS.items():
        outer, _, own = name.rpartition(".")
        enum: EnumDescriptorProto = (made[outer].enum_type if outer else file.enum_type).add(name=own)
        for number, label in enumerate(labels.split()):
            enum.value.add(name=label, number=number)
    return file


def _add_field(message: DescriptorProto, name: str, text: str) -> None:
    found = FIELD.fullmatch(text)
    assert found, text
    number, field_name, many, kind, choice = found.groups()
    field = message.field.add(name=field_name, number=int(number))
    field.label = FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
    if many == "{":  # on the wire a map is a list of pairs
        pair = message.nested_type.add(name=f"{field_name.title().replace('_', '')}Entry")
        pair.options.map_entry = True
        _add_field(pair, name, "1 key string")
        _add_field(pair, name, f"2 value {kind}")
        kind = f"{name}.{pair.name}"
    if kind in MESSAGES or many == "{":
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    elif kind in ENUMS:
        field.type, field.type_name = FieldDescriptorProto.TYPE_ENUM, f".{PACKAGE}.{kind}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    if choice:
        if not any(one.name == choice for one in message.oneof_decl):
            message.oneof_decl.add(name=choice)
        field.oneof_index = [one.name for one in message.oneof_decl].index(choice)


def _classes() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.Add(_file())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES if "." not in name}


inference = SimpleNamespace(**_classes())
