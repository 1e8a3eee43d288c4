"""Whether a value fits a schema of the service's description; only what that uses is known."""

from typing import Any

TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
KNOWN = {"type", "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "minimum", "maximum",
         "enum", "oneOf", "anyOf", "$ref", "description", "examples", "contentEncoding", "contentMediaType"}  # fmt: skip


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether it does; `schemas` are those of the document."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return fits(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "oneOf" in schema and sum(fits(value, one, schemas) for one in schema["oneOf"]) != 1:
        return False
    if "anyOf" in schema and not any(fits(value, one, schemas) for one in schema["anyOf"]):
        return False
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    if kinds and not any(isinstance(value, TYPES[kind]) and (kind == "boolean" or value is not True) for kind in kinds):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        parts = [(part, known.get(name, other)) for name, part in value.items()]
        return set(schema.get("required", ())) <= set(value) and all(
            wanted is not False and fits(part, wanted, schemas) for part, wanted in parts
        )
    if isinstance(value, list):
        length = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return length and all(fits(part, schema.get("items", {}), schemas) for part in value)
    if isinstance(value, (int, float)):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True
