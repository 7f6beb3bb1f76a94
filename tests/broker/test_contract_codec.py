"""Bytes to documents and back."""

import json
import math
from contextlib import suppress

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from broker.contract.codec import DEPTH_LIMIT, JSON, YAML, Malformed, pointer

# what any database takes: no NUL, no half of a surrogate pair
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(documents)
def test_json_comes_back_as_it_was(document):
    assert JSON.read(JSON.write(document)) == document


@given(documents)
def test_yaml_comes_back_as_it_was(document):
    assert YAML.read(YAML.write(document)) == document


@given(texts)
@example("0E0")
@example("no")
@example("2026-01-01")
def test_a_text_stays_a_text_for_readers_of_yaml_1_1_too(text):
    written = YAML.write({"a": text})
    assert YAML.read(written) == {"a": text}
    assert yaml.safe_load(written) == {"a": text}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_malformed(body):
    for codec in (JSON, YAML):
        # nothing but Malformed may come out, and what is read can be written
        with suppress(Malformed):
            json.dumps(codec.read(body), allow_nan=False).encode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("12:30", "12:30"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1e3", 1000.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("<<", "<<"),
    ],
)
def test_yaml_has_the_types_of_json(text, value):
    found = YAML.read(f"a: {text}".encode())["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"a: &a [*a]", "alias"),
        (b"a: &x [1]\nb: *x", "alias"),
        (b"a: [", "not YAML"),
        (b"!!int x", "tag"),
        (b"!!timestamp x", "tag"),
        (b"!!binary aGVsbG8=", "bytes"),
        (b"!!python/object/apply:os.system [ls]", "not YAML"),
        (b"1: 2", "name 1"),
        (b"? [a]\n: b", "not YAML"),
        (b"a: 1\n--- \nb: 2", "not YAML"),
        (b"!!float .nan", "finite"),
        (b"\xff", "UTF-8"),
        (b"[" * (DEPTH_LIMIT + 1), "nested"),
    ],
)
def test_yaml_that_is_refused(body, said):
    with pytest.raises(Malformed, match=said):
        YAML.read(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "line 1, column 2"),
        (b"NaN", "NaN"),
        (b"-Infinity", "Infinity"),
        (b"1e999", "finite"),
        (b"1" * 5000, "not JSON"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\u0000"', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b"[" * (DEPTH_LIMIT + 2) + b"]" * (DEPTH_LIMIT + 2), "nested"),
        (b"\xff\xfe", "0xff"),
    ],
)
def test_json_that_is_refused(body, said):
    with pytest.raises(Malformed, match=said):
        JSON.read(body)


def test_a_fault_says_where_it_is():
    with pytest.raises(Malformed) as caught:
        JSON.read(b'{"a/b": [0, "\\u0000"]}')
    assert caught.value.faults[0].path == "/a~1b/1"
    assert pointer(["a~b", 0]) == "/a~0b/0"


def test_what_is_not_a_number_is_not_written():
    with pytest.raises(ValueError):
        JSON.write(math.nan)
