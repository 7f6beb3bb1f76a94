"""The published contract as one document: its files refer to each other, and name each schema once."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parent.parent / "contract-v1.0"
REF = "#/components/schemas/"


@cache
def bundle() -> dict[str, Any]:
    """All paths and all schemas of the contract; every reference is to a schema of this document."""
    document = _load(DIRECTORY / "execution-broker.yaml")
    schemas: dict[str, Any] = {}
    for path in sorted(DIRECTORY.rglob("*.yaml")):
        for name, schema in _load(path).get("components", {}).get("schemas", {}).items():
            assert name not in schemas, f"{name} is in two files"
            schemas[name] = schema
    whole: dict[str, Any] = _own_references(document | {"components": {"schemas": schemas}})
    return whole


def _load(path: Path) -> Any:
    # CSafeLoader takes YES and NO in quotes for the texts that they are
    return yaml.load(path.read_text(), Loader=yaml.CSafeLoader)


def _own_references(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _own_references(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_own_references(member) for member in value]
    if isinstance(value, str) and REF in value:
        return REF + value.rpartition("/")[2]
    return value
