"""The schemas of the OpenAPI document, made of the models that are read and written."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from broker.contract import common
from broker.http.description_shapes import LISTS, PLACES, ROOTS, SHAPES, Shape
from broker.http.description_words import DETAILS, WORDS
from broker.model import Phase

REF = "#/components/schemas/"
_SHAPES = {shape.name: shape for shape in SHAPES}
# pydantic says `lt` where a validator stands before the limit
_INT32 = 2**31
# Time as text. No look-ahead, no atomic group: the engines of Go, Rust and JavaScript have not all of them.
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"T\d{2}:\d{2}(:\d{2}([.,]\d+)?)?(Z|[+-]\d{2}:?\d{2})?"
_SPAN = r"P(\d+([.,]\d+)?[YMWD])*(T(\d+([.,]\d+)?[HMS])+)?"
_MOMENT = f"{_DATE}({_TIME})?"
_TEXTS: dict[str, dict[str, Any]] = {
    "ISO8601Instant": {"pattern": f"^{_DATE}{_TIME}$", "examples": ["2026-11-25T12:00:00Z"]},
    "ISO8601Duration": {"pattern": f"^-?{_SPAN}$", "examples": ["PT2H", "P3DT12H"]},
    "ISO8601Interval": {
        "pattern": f"^({_MOMENT}/({_MOMENT}|{_SPAN})|{_SPAN}/{_MOMENT})$",
        "examples": ["2026-11-25T12:00:00Z/2026-11-26T12:00:00Z", "2026-11-25T12:00:00Z/PT6H"],
    },
}


def ref(name: str) -> dict[str, Any]:
    """A reference to the schema `name`."""
    return {"$ref": REF + name}


def model_schemas() -> dict[str, Any]:
    """All schemas of the contract's documents, by name."""
    found: dict[str, Any] = {
        "NameValueMap": {"type": "object", "additionalProperties": {"type": "string"}},
        "LifecyclePhase": {"type": "string", "enum": list(get_args(common.LifecyclePhase))},
        "SimpleExecutionSessionPhase": {"type": "string", "enum": [phase.value for phase in Phase]},
    }
    found |= {name: {"type": "string", **more} for name, more in _TEXTS.items()}
    for name, member in LISTS.items():
        found[name] = {"type": "array", "items": ref(member) | DETAILS.get(f"{name}[]", {})}
    found |= {shape.name: _schema(shape) for shape in SHAPES}
    return {
        name: {"title": name, "description": WORDS[name], **schema, **DETAILS.get(name, {})}
        for name, schema in found.items()
    }


def _schema(shape: Shape) -> dict[str, Any]:
    inherited = {name for parent in shape.parents for name in _fields(_SHAPES[parent])}
    own = [name for name in shape.fields or shape.model.model_fields if name not in inherited]
    document = shape.model.model_json_schema(ref_template="{model}")
    properties = {name: _property(shape.name, name, document["properties"][name]) for name in own}
    schema: dict[str, Any] = {"type": "object"}
    if "xml" in document and shape.name in ROOTS:
        schema["xml"] = document["xml"]
    if shape.required:
        schema["required"] = list(shape.required)
    if shape.kinds:
        mapping = {uri: REF + name for uri, name in shape.kinds.items()}
        schema["discriminator"] = {"propertyName": "kind", "mapping": mapping}
    if not shape.parents:
        return schema | {"properties": properties}
    schema["allOf"] = [ref(parent) for parent in shape.parents]
    if properties:
        schema["allOf"].append({"type": "object", "properties": properties})
    return schema


def _fields(shape: Shape) -> set[str]:
    """The names of all properties of a schema, those of its parents among them."""
    inherited = {name for parent in shape.parents for name in _fields(_SHAPES[parent])}
    return inherited | set(shape.fields or shape.model.model_fields)


def _property(owner: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
    key = f"{owner}.{name}"
    place = PLACES.get(key) or PLACES.get(name)
    schema = ref(place) if place else _translate(document, key)
    description = WORDS.get(key) or WORDS.get(f".{name}")
    more = {"description": description} if description else {}
    return more | schema | DETAILS.get(key, DETAILS.get(f".{name}", {}))


def _translate(document: dict[str, Any], key: str) -> dict[str, Any]:
    """pydantic's JSON Schema of one property as the contract has it: what may be left out is never null."""
    found = _type(document, key)
    return found | {"xml": document["xml"]} if "xml" in document else found


def _type(document: dict[str, Any], key: str) -> dict[str, Any]:
    choices = [choice for choice in document.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        return _translate(choices[0], key)
    if "oneOf" in document or choices:
        return ref(_base(document.get("oneOf", choices)))
    if "$ref" in document:
        return ref(_name(document["$ref"]))
    kind = document["type"]
    if kind == "array":
        place = PLACES.get(f"{key}[]")
        items = _translate(document["items"], key)
        return {"type": "array", "items": items | (ref(place) if place else {})}
    if kind == "integer":
        return {"type": "integer", "format": "int32" if document.get("lt") == _INT32 else "int64"}
    if kind == "number":
        return {"type": "number", "format": "double"}
    kept = {"type": kind} | {word: document[word] for word in ("enum", "pattern") if word in document}
    if "additionalProperties" in document:
        raise LookupError(f"{key} is a map without a schema of its own")
    return kept


def _name(model: str) -> str:
    """The schema of a model, by the name of its class."""
    if model == Phase.__name__:
        return "SimpleExecutionSessionPhase"
    return next(shape.name for shape in SHAPES if _is(shape.model, model) and not shape.kinds)


def _base(choices: list[dict[str, Any]]) -> str:
    """The abstract base that a union stands for: that of the first alternative with a kind."""
    models = [choice["$ref"] for choice in choices if "$ref" in choice]
    for shape in SHAPES:
        if any(_is(_SHAPES[name].model, model) for name in shape.kinds.values() for model in models):
            return shape.name
    raise LookupError(f"no schema stands for a choice of {models}")


def _is(model: type[BaseModel], name: str) -> bool:
    return model.__name__ == name
