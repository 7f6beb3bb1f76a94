"""What a Rucio may answer: it is read, or named in a line; and nothing negative is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalogues import MOST_BYTES
from broker.catalogues import rucio_answers as answers
from broker.catalogues.rucio_files import _checksum, _copies, _seen
from broker.catalogues.rucio_rules import _seconds
from broker.catalogues.rucio_stores import Store, read_store
from broker.catalogues.urls import wrong_with
from broker.model import Replica
from tests.catalogues.serving import federation

KINDS = (
    answers.Did,
    answers.Member,
    answers.ListedFile,
    answers.DatasetReplica,
    answers.FileReplicas,
    answers.Rse,
    answers.Rule,
    answers.Complaint,
)
KEYS = st.sampled_from(sorted({name for kind in KINDS for name in kind.__struct_fields__} | {"wan", "read"}))
NUMBERS = st.sampled_from([-1, 0, 2**63, 2**64, 10**400, float("nan"), float("inf")]) | st.integers()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = st.dictionaries(KEYS, JSON, max_size=8)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=60)
@given(FIELDS | JSON)
def test_whatever_it_says_is_read_or_named(kind: type[Any], document: Any) -> None:
    # what is required is often there, so that the rest is looked at
    if isinstance(document, dict):
        document = {
            "scope": "s",
            "name": "n",
            "type": "FILE",
            "rse": "R",
            "id": "1",
            "state": "OK",
        } | document
    body = json.dumps(document).encode()
    try:
        found = answers.read_one(body, kind)
        answers.read_stream(body + b"\n" + body, kind)
    except ValueError as error:
        assert len(str(error)) <= answers.LONGEST_WORDS  # noqa: PT017 - it need not be raised
        return
    for name in ("bytes", "available_bytes", "length", "available_length", "locks_stuck_cnt"):
        value = getattr(found, name, None)
        assert value is None or 0 <= value <= MOST_BYTES


@given(st.binary(max_size=60))
def test_bytes_that_are_no_json_are_named(body: bytes) -> None:
    for read in (answers.read_one, answers.read_stream):
        try:
            read(body, answers.Did)
        except ValueError:
            continue


def test_what_is_deep_or_long_is_named() -> None:
    with pytest.raises(ValueError, match="recursion"):
        answers.read_one(b'{"a":' * 10**5, dict)
    with pytest.raises(ValueError, match="lines"):
        answers.read_stream(b"\n" * (answers.MOST_LINES + 1), answers.Did)


@pytest.mark.parametrize("host", ["x\x1b[2J", "a b", "ann:pw@x", "", "[::1", "x:99999"])
def test_a_way_in_that_is_no_url_is_none(host: str) -> None:
    way = answers.Protocol(host, "davs", domains={"wan": {"read": 1}})
    assert read_store(answers.Rse("R", protocols=[way]), {}, federation()).door is None


@given(st.text(max_size=20), st.text(max_size=20), st.integers())
def test_no_url_is_used_that_a_client_could_not_name(scheme: str, rest: str, priority: int) -> None:
    for pfn in (f"davs://{rest}", f"{scheme}://{rest}", rest):
        file = answers.FileReplicas("s", "n", pfns={pfn: answers.Copy("R", priority=priority)})
        for replica in _copies(file, {"R": Store("R", None, None)}):
            assert wrong_with(replica.url) is None


@pytest.mark.parametrize(
    ("door", "url", "mounted"),
    [
        ("https://h/data", "https://h/data/s/a", "/mnt/s/a"),
        ("https://h/data/", "https://h/data/s/a?X-Sign=1", "/mnt/s/a"),
        # beside the storage, not in it
        ("https://h/data", "https://h/database/s/a", None),
        ("https://h/data", "https://h/data/../etc/passwd", None),
    ],
)
def test_a_file_is_looked_for_in_its_storage_alone(door: str, url: str, mounted: str | None) -> None:
    seen = _seen(Replica(url, "north", "R"), Store("R", "north", door), Path("/mnt"))
    assert seen.mounted == mounted


@pytest.mark.parametrize(
    "when",
    ["Thu, 26 Nov 99999999999999999999 10:52:18 UTC", "Thu, 26 Nov 2026 10:52:18 +99999999999999", "?"],
)
def test_times_that_there_can_t_be_are_not_known(when: str) -> None:
    assert _seconds(answers.Rule("1", "R", "OK", created_at=when, updated_at=when)) is None


@given(st.text(max_size=40))
def test_a_checksum_is_hexadecimal(text: str) -> None:
    found = _checksum(answers.FileReplicas("s", "n", md5=text))
    assert found is None or int(found[1], 16) >= 0
