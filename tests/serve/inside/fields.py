"""What a message has: fields by name with number, kind, type, many and choice. For a client's environment, and for ours."""


def fields(message):
    return {
        field.name: [
            field.number,
            field.type,
            field.message_type.full_name if field.message_type else field.enum_type.full_name if field.enum_type else "",
            field.is_repeated,
            field.containing_oneof.name if field.containing_oneof else "",
        ]
        for field in message.fields
    }
