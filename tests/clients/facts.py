"""What an OpenAPI document says, as single lines that can be compared: words for people left out."""

import json
from collections.abc import Iterator
from typing import Any

REF = "#/components/schemas/"
_DOCUMENTS = ("application/json", "application/xml", "application/yaml")
_WORDS = ("title", "description", "examples", "example")


def operation_facts(document: dict[str, Any]) -> dict[str, set[str]]:
    """By operation: its name, parameters, who may ask, and each body and header."""
    return {
        f"{method.upper()} {path}": set(_operation(operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def schema_facts(document: dict[str, Any]) -> dict[str, set[str]]:
    """By schema: type, parents, properties, what is required, kinds, and all else that a machine reads."""
    return {name: set(_schema(schema)) for name, schema in document["components"]["schemas"].items()}


def difference(published: dict[str, set[str]], ours: dict[str, set[str]]) -> list[str]:
    """`- ` what only the published has, `+ ` what only ours has: a whole entry is one line."""
    found = [f"- {name}" for name in published.keys() - ours.keys()]
    found += [f"+ {name}" for name in ours.keys() - published.keys()]
    for name in published.keys() & ours.keys():
        found += [f"- {name} {fact}" for fact in published[name] - ours[name]]
        found += [f"+ {name} {fact}" for fact in ours[name] - published[name]]
    return sorted(found)


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield f"is called {operation['operationId']}"
    if "security" in operation:
        yield f"security {_text(operation['security'])}"
    for parameter in operation.get("parameters", []):
        needed = "required " if parameter.get("required") else ""
        yield f"{needed}parameter {parameter['name']} in {parameter['in']}: {_plain(parameter['schema'])}"
    body = operation.get("requestBody")
    if body is not None:
        yield f"body is {'required' if body.get('required') else 'optional'}"
        yield from (f"body {line}" for line in _content(body))
    everywhere = set.intersection(*(_headers(answer) for answer in operation["responses"].values()))
    for status, answer in operation["responses"].items():
        yield from (f"{status} {line}" for line in _content(answer) or ["without a body"])
        yield from (f"{status} {line}" for line in _headers(answer) - everywhere)
    yield from (f"every answer {line}" for line in everywhere)


def _headers(answer: dict[str, Any]) -> set[str]:
    return {
        f"{'required ' if header.get('required') else ''}header {name}: {_plain(header['schema'])}"
        for name, header in answer.get("headers", {}).items()
    }


def _content(body: dict[str, Any]) -> list[str]:
    """Media types with the same schema make one line; `document` stands for all that the contract has."""
    by_schema: dict[str, list[str]] = {}
    for media_type, content in body.get("content", {}).items():
        by_schema.setdefault(_plain(content["schema"]), []).append(media_type)
    types = {frozenset(_DOCUMENTS): "document"}
    return [
        f"{types.get(frozenset(found), ', '.join(sorted(found)))}: {schema}"
        for schema, found in by_schema.items()
    ]


def _schema(schema: dict[str, Any]) -> Iterator[str]:
    for part in schema.get("allOf", []):
        if "$ref" in part:
            yield f"is a {_plain(part)}"
        else:
            yield from _schema(part)
    for name, value in schema.get("properties", {}).items():
        yield f".{name}: {_plain(value)}"
    for name in schema.get("required", []):
        yield f".{name} is required"
    for uri, target in schema.get("discriminator", {}).get("mapping", {}).items():
        yield f"kind {uri}: {target.removeprefix(REF)}"
    rest = {
        name: value
        for name, value in schema.items()
        if name not in (*_WORDS, "allOf", "properties", "required", "discriminator")
    }
    for name, value in rest.items():
        yield f"{name} {_plain(value)}"
    if "discriminator" in schema:
        yield f"kinds are told by {schema['discriminator']['propertyName']}"


def _plain(value: Any) -> str:
    """A schema on one line: a reference by its name alone."""
    if isinstance(value, dict):
        value = {name: member for name, member in value.items() if name not in _WORDS and name != "style"}
        reference = value.pop("$ref", None)
        items = value.pop("items", None)
        words = [reference.removeprefix(REF)] if reference else []
        value |= {"enum": sorted(value["enum"])} if "enum" in value else {}
        words += [f"{name} {_text(member)}" for name, member in sorted(value.items())]
        words += [f"of ({_plain(items)})"] if items else []
        return ", ".join(words)
    return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True).replace(REF, "")
