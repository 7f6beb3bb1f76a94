"""An OpenAPI document made plain and strict, for those who know nothing of discriminators.

JSON Schema ignores discriminators: whatever has a `kind` passes as an abstract base. Here a base is a choice
among its kinds, each an object with all its properties, its own `kind`, and no others. It is for checking
what a service answers, and for making up requests of every kind.
"""

from typing import Any

REF = "#/components/schemas/"


def flat(document: dict[str, Any]) -> dict[str, Any]:
    """The document with plain schemas."""
    schemas = document["components"]["schemas"]
    kinds = {
        member.removeprefix(REF): uri
        for schema in schemas.values()
        for uri, member in schema.get("discriminator", {}).get("mapping", {}).items()
    }
    found: dict[str, Any] = {}
    for name, schema in schemas.items():
        mapping = schema.get("discriminator", {}).get("mapping")
        whole = _whole(schema, schemas)
        if name in kinds and "properties" in whole:
            kind = whole["properties"]["kind"]
            whole["properties"] = whole["properties"] | {"kind": kind | {"enum": [kinds[name]]}}
        if mapping is None:
            found[name] = whole
            continue
        members = [member.removeprefix(REF) for member in mapping.values()]
        found[name] = {"anyOf": [{"$ref": REF + member} for member in members]}
    return document | {"components": document["components"] | {"schemas": found}}


def _whole(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """`schema` with what stands in its `allOf`; an object has no other properties than these."""
    parts = [_whole(_followed(part, schemas), schemas) for part in schema.get("allOf", [])]
    own = {
        name: value
        for name, value in schema.items()
        if name not in ("allOf", "discriminator", "xml", "title", "description")
    }
    if own.get("type") != "object":
        return own
    properties: dict[str, Any] = {}
    required: set[str] = set()
    for part in [*parts, own]:
        properties |= part.get("properties", {})
        required |= set(part.get("required", []))
    if not properties:
        return own
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
    }


def _followed(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schemas[schema["$ref"].removeprefix(REF)] if "$ref" in schema else schema
    return found
