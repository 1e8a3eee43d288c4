"""The messages of tritonclient's own copy of the protocol, as JSON: fields by name with number, kind, type, many and choice."""

import json

from fields import fields
from tritonclient.grpc import model_config_pb2, service_pb2


def all_of(messages):
    for message in messages:
        yield message.full_name, fields(message)
        yield from all_of(message.nested_types)


files = (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)
enums = {enum.full_name: {value.name: value.number for value in enum.values} for file in files
         for enum in [*file.enum_types_by_name.values(),
                      *(enum for message in file.message_types_by_name.values() for enum in message.enum_types)]}  # fmt: skip
service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
print(json.dumps({
    "messages": {name: found for file in files for name, found in all_of(file.message_types_by_name.values())},
    "enums": enums,
    "rpcs": {rpc.name: [rpc.input_type.name, rpc.output_type.name] for rpc in service.methods},
    "service": service.full_name,
}))  # fmt: skip
