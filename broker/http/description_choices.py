"""The same document for generators that know no inheritance, such as Go's: a base is a choice of kinds.

There, what is made by `allOf` of a base with a discriminator is a plain base: what only a kind has is lost.
Here a base is a `oneOf`, and every kind has all its properties itself (docs/clients.md).
"""

from __future__ import annotations

from typing import Any

from broker.http.description_schemas import REF, ref


def as_choices(document: dict[str, Any]) -> dict[str, Any]:
    """The document with choices."""
    schemas = document["components"]["schemas"]
    found: dict[str, Any] = {}
    for name, schema in schemas.items():
        whole = _whole(schema, schemas)
        mapping = schema.get("discriminator", {}).get("mapping")
        if mapping is None:
            found[name] = whole
            continue
        members = {uri: member.removeprefix(REF) for uri, member in mapping.items()}
        found[name] = {
            "title": schema["title"],
            "description": schema["description"],
            "oneOf": [ref(member) for member in members.values()],
            "discriminator": {
                "propertyName": "kind",
                "mapping": {uri: REF + member for uri, member in members.items()},
            },
        }
    return document | {"components": document["components"] | {"schemas": found}}


def _whole(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """`schema` with all that its parents have, and no parents."""
    own = {name: value for name, value in schema.items() if name not in ("allOf", "discriminator")}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in schema.get("allOf", []):
        inherited = _whole(schemas[part["$ref"].removeprefix(REF)] if "$ref" in part else part, schemas)
        properties |= inherited.get("properties", {})
        required += inherited.get("required", [])
    properties |= own.get("properties", {})
    required += own.get("required", [])
    more: dict[str, Any] = {"properties": properties} if properties else {}
    return own | more | ({"required": sorted(set(required))} if required else {})
