"""A strict reader of XML that knows the published contract alone, and what OpenAPI says of its `xml` entries.

Stock clients read like this: an element or attribute that the contract has no word for is a failure.
"""

from broker.contract.xml_names import from_name
from tests.broker.published_schema import COMPONENTS, document, resolve


def read(element, name):
    """The document of `element`, which the contract's schema `name` describes."""
    return _value(element, {"$ref": f"#/components/schemas/{name}"}, COMPONENTS)


def root_name(name):
    """What the contract calls the element of the schema `name`."""
    return document(COMPONENTS)["components"]["schemas"][name]["xml"]["name"]


def _value(element, schema, base):
    schema, base = _target(schema, base)
    if schema.get("type") == "string" or "type" not in schema:
        return _text(element)
    if schema["type"] == "boolean":
        return {"true": True, "false": False}[_text(element)]
    if schema["type"] in ("integer", "number"):
        return {"integer": int, "number": float}[schema["type"]](_text(element))
    if isinstance(schema.get("additionalProperties"), dict):
        assert not element.attrib
        return {from_name(child.tag): _text(child) for child in element}
    return _object(element, schema, base)


def _object(element, schema, base):
    found, attributes, children = {}, dict(element.attrib), list(element)
    assert not (element.text or "").strip()
    for key, (inner, where) in _properties(schema, base, element.get("kind")).items():
        said, (inner, where) = _xml(inner, where), _target(inner, where)
        name = said.get("name", key)
        if said.get("attribute"):
            if name in attributes:
                found[key] = attributes.pop(name)
        elif inner.get("type") == "array":
            item_name = inner["items"].get("xml", {}).get("name", key)
            if said.get("wrapped"):
                wrappers, children = _taken(children, name)
                assert len(wrappers) <= 1
                mine, others = _taken([child for one in wrappers for child in one], item_name)
                assert not others
            else:
                # the name of the list itself is of no account where it isn't wrapped
                mine, children = _taken(children, item_name)
            if mine:
                found[key] = [_value(child, inner["items"], where) for child in mine]
        else:
            mine, children = _taken(children, name)
            assert len(mine) <= 1
            if mine:
                found[key] = _value(mine[0], inner, where)
    assert not attributes, f"<{element.tag}> has the attributes {attributes}"
    assert not children, f"<{element.tag}> has {[child.tag for child in children]}"
    return found


def _taken(children, name):
    return [one for one in children if one.tag == name], [one for one in children if one.tag != name]


def _properties(schema, base, kind):
    """All properties by key with the file that they stand in; `kind` chooses among the subtypes."""
    mapping = schema.get("discriminator", {}).get("mapping", {})
    if kind in mapping:
        schema, base = resolve(mapping[kind], base)
    found = {}
    for part in schema.get("allOf", []):
        # the abstract base of a subtype is looked at for what it has, not for its subtypes
        found |= _properties(*_target(part, base), None)
    return found | {key: (inner, base) for key, inner in schema.get("properties", {}).items()}


def _target(schema, base):
    while "$ref" in schema:
        schema, base = resolve(schema["$ref"], base)
    return schema, base


def _xml(schema, base):
    """The entry beside a reference, else that of what it leads to if that is a list."""
    if "xml" in schema or "$ref" not in schema:
        return schema.get("xml", {})
    target = _target(schema, base)[0]
    return target.get("xml", {}) if target.get("type") == "array" else {}


def _text(element):
    assert not element.attrib
    assert not list(element), f"<{element.tag}> has elements in it"
    return element.text or ""
