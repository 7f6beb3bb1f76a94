"""What a Skaha says is read with care: versions differ, and answers may be cut, wrong, or somebody else's."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.platforms import skaha_answers as answers
from tests.skaha.simulator import Simulator

NAMES = (
    "id types type digest name status startTime connectURL expiryTime cores ram memoryGB options "
    "requestedCPUCores cpuCoresAvailable requestedRAM ramAvailable maxInteractiveSessions"
)
KEYS = st.sampled_from(NAMES.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
READERS: list[Callable[[Any], object]] = [
    answers.read_images,
    answers.read_hosts,
    answers.read_context,
    answers.read_free,
    answers.read_sessions,
    answers.read_session,
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_whatever_it_says_is_read_or_named(read: Callable[[Any], object]) -> None:
    @settings(max_examples=40)
    @given(JSON | st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=3))
    def holds(document: Any) -> None:
        with contextlib.suppress(ValueError):
            read(document)

    holds()


@given(st.binary(max_size=20))
def test_an_id_is_letters_and_digits(body: bytes) -> None:
    try:
        found = answers.read_id(body)
    except ValueError:
        return
    assert found.isalnum()


def test_an_id_that_never_ends_is_none() -> None:
    with pytest.raises(ValueError, match="no session's id"):
        answers.read_id(b"[" * 10**6)


HUGE = 10**400


@pytest.mark.parametrize(
    ("read", "document"),
    [
        (answers.read_free, {"cores": {"cpuCoresAvailable": HUGE, "requestedCPUCores": 1}, "ram": {}}),
        (
            answers.read_free,
            {"cores": {"cpuCoresAvailable": float("nan"), "requestedCPUCores": 1}, "ram": {}},
        ),
        (
            answers.read_free,
            {"cores": {"cpuCoresAvailable": float("inf"), "requestedCPUCores": 1}, "ram": {}},
        ),
        (answers.read_context, {"cores": {"options": [HUGE]}, "memoryGB": {"options": [1]}}),
        (answers.read_session, {"id": "../image", "status": "Running"}),
        (answers.read_session, {"id": "a" * 65, "status": "Running"}),
        (answers.read_gib, "9" * 400 + "G"),
        # the sign of Kelvin, which passes for a K where letters of all alphabets count
        (answers.read_gib, "12\u212a"),
    ],
    ids=["huge", "nan", "inf", "sizes", "path", "long", "memory", "kelvin"],
)
def test_what_can_t_be_is_named(read: Callable[[Any], object], document: Any) -> None:
    with pytest.raises(ValueError, match=r"no |figures"):
        read(document)


def test_what_is_long_is_cut() -> None:
    heading = "TYPE      REASON    MESSAGE"
    [event] = answers.read_events(f"{heading}\nWarning   Failed    {'pull ' * 10**5}")
    assert len(event.message) <= answers.LONGEST_MESSAGE
    assert answers.pull_seconds([answers.Event("Normal", "Pulled", f'"a" in {"9" * 400}s')], "a") is None
    assert len(answers.read_hosts(["x"] * 10**5)) == answers.MOST_HOSTS


@pytest.mark.parametrize("body", [b"abcd1234\n", b'["abcd1234"]', b"abcd1234"])
def test_both_ways_of_telling_an_id(body: bytes) -> None:
    assert answers.read_id(body) == "abcd1234"


@given(st.text(max_size=200))
def test_any_text_is_read_as_events(text: str) -> None:
    answers.read_events(text)


def test_events_are_read_by_their_columns(tmp_path: Path) -> None:
    simulator = Simulator(tmp_path)
    simulator.full = True
    image = ["images.canfar.net/skaha/terminal:1.1.2"]
    session = simulator.create("ann", {"name": ["a"], "image": image}, None)
    [event] = answers.read_events(simulator.event_text("ann", session))
    message = "0/12 nodes are available: 12 Insufficient cpu"
    assert event == answers.Event("Warning", "FailedScheduling", message)
    assert answers.read_events("") == ()


@pytest.mark.parametrize(
    ("text", "gib"),
    [("32G", 32), ("32Gi", 32), ("1.5T", 1536), ("512M", 0.5), ("1048576K", 1), (str(2**30), 1), ("0G", 0)],
)
def test_amounts_of_memory_are_binary_whatever_they_are_called(text: str, gib: float) -> None:
    assert answers.read_gib(text) == gib


def test_old_versions_say_nothing_of_free_memory() -> None:
    document = {"cores": {"requestedCPUCores": 3.5, "cpuCoresAvailable": 10.0}, "ram": {"maxRAM": {}}}
    assert answers.read_free(json.loads(json.dumps(document))) == answers.Free(6.5, None)


def test_what_others_have_in_the_same_account_is_passed_over() -> None:
    good = {"id": "a", "name": "Mine", "status": "Running", "type": "headless", "startTime": "<none>"}
    [found] = answers.read_sessions([good, {"type": "desktop-app"}, 7])
    assert (found.name, found.started, found.connect_url) == ("mine", None, None)
