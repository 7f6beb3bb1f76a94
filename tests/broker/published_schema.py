"""What the published contract says of a document, strictly: each kind has its own schema, and that is all."""

from functools import cache
from pathlib import Path
from urllib.parse import urldefrag

import yaml
from jsonschema import Draft202012Validator, FormatChecker

ROOT = Path(__file__).resolve().parents[1] / "contract-v1.0"
COMPONENTS = ROOT / "components.yaml"
# what is handed to JSON Schema; references, properties and items are walked here
PLAIN = ("type", "enum", "pattern", "format", "required", "minimum", "maximum")


def problems(value, name, base=COMPONENTS):
    """Where `value` is not what the contract's schema `name` says; empty where it is. `base`: its file."""
    return _check(value, document(base)["components"]["schemas"][name], base, "$", False)


@cache
def document(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def resolve(reference, base):
    url, fragment = urldefrag(reference)
    path = (base.parent / url).resolve() if url else base
    node = document(path)
    for part in fragment.strip("/").split("/"):
        node = node[part]
    return node, path


def _check(value, schema, base, where, plain):
    known, found = _walk(value, schema, base, where, plain)
    if isinstance(value, dict) and known is not None:
        found += [f"{where}.{name} is not in the contract" for name in value if name not in known]
    return found


def _walk(value, schema, base, where, plain):
    """The names of properties that are known here (None: any), and what is wrong.

    `plain`: the kind has been looked at already, as a subtype names its own base.
    """
    if "$ref" in schema:
        target, path = resolve(schema["$ref"], base)
        return _walk(value, target, path, where, plain)
    mapping = schema.get("discriminator", {}).get("mapping")
    if mapping and not plain:
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind not in mapping:
            return None, [f"{where}.kind: {kind!r} is none of the contract's kinds"]
        target, path = resolve(mapping[kind], base)
        return _walk(value, target, path, where, True)
    shallow = {word: schema[word] for word in PLAIN if word in schema}
    validator = Draft202012Validator(shallow, format_checker=FormatChecker())
    found = [f"{where}: {error.message[:160]}" for error in validator.iter_errors(value)]
    known = set(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        names, more = _walk(value, part, base, where, plain)
        found += more
        known = None if names is None or known is None else known | names
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                found += _check(value[name], inner, base, f"{where}.{name}", False)
        if isinstance(extra := schema.get("additionalProperties"), dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                found += _check(value[name], extra, base, f"{where}.{name}", False)
            known = None
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            found += _check(item, schema["items"], base, f"{where}[{index}]", False)
    return known, found
