"""Reservations and the past by slurmrestd. Its answers here are those that real ones gave: 22.05 (v0.0.38)
and 26.05 (v0.0.43 to v0.0.45)."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from federation.clock import ManualClock, SystemClock
from federation.errors import OutsideError
from federation.sites import Place, Site, Space
from reservations.calendar import MEMORY_MB, PGPU, VCPU, Need
from reservations.history.past import End, Past
from reservations.leases import LeaseState, RefusedError
from reservations.sources import Bookable, Remembering, load_source
from reservations.sources.slurm_leases import SlurmLeases
from reservations.sources.slurm_rest import SlurmAwayError, SlurmRefusedError
from tests.slurm.stand import Stand, refused

SITE = Site("perth", "Perth", Place(0, 0))
NOW, HOUR = datetime(2026, 11, 26, 14, 36, 6, tzinfo=UTC), timedelta(hours=1)
ONE = Need({VCPU: 3, MEMORY_MB: 1024})
ACCOUNTS: Mapping[str, Any] = json.loads((Path(__file__).parent / "data" / "accounts.json").read_text())
# when those jobs were run
RAN = datetime(2026, 11, 26, 14, 28, 45, tzinfo=UTC)
NO_LIMIT = {"set": False, "infinite": True, "number": 0}
NO_COMMANDS = "/nowhere"


def number(value: int) -> Mapping[str, Any]:
    return {"set": True, "infinite": False, "number": value}


def seconds(when: datetime) -> Mapping[str, Any]:
    return number(int(when.timestamp()))


def options(stand: Stand, **more: str) -> dict[str, str]:
    return {"rest_url": stand.url, "rest_token_file": str(stand.token_file), "rest_user": "fairlead", **more}


def leases(stand: Stand, **more: str) -> SlurmLeases:
    source = load_source(SITE, Space("slurm", options(stand, **more)), ManualClock(NOW))
    assert isinstance(source, Bookable)
    found = source.leases()
    assert isinstance(found, SlurmLeases)
    return found


def past(stand: Stand, **more: str) -> Past:
    source = load_source(SITE, Space("slurm", options(stand, **more)), SystemClock())
    assert isinstance(source, Remembering)
    return source.past(RAN - HOUR, RAN + HOUR)


class Booking:
    """A slurmrestd of 26.05 that keeps one reservation."""

    def __init__(self, stand: Stand) -> None:
        self.there: dict[str, Any] = {}
        self.sent: list[Mapping[str, Any]] = []
        stand.versions(43, 44, 45)
        stand.answers["GET /slurm/v0.0.45/nodes"] = 200, {"nodes": [{"name": "n1", "threads": 2}]}
        stand.answers["GET /slurm/v0.0.45/reservations"] = 200, self._list
        stand.answers["POST /slurm/v0.0.45/reservation"] = 200, self._post
        stand.answers["DELETE /slurm/v0.0.45/reservation/fairlead-abc"] = 200, self._delete
        self._stand = stand

    def _list(self, handler: BaseHTTPRequestHandler) -> None:
        self._say(handler, 200, {"reservations": [self.there] if self.there else [], "errors": []})

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        self.sent.append(json.loads(self._stand.asked[-1][2]))
        document = self.sent[-1]
        made = {"name": document["name"], "node_list": "n1", "core_count": 2, "users": "fairlead"}
        times = {key: document[key] for key in ("start_time", "end_time") if key in document}
        self.there = {**made, **self.there, **times}
        self._say(handler, 200, {"reservations": [document], "errors": []})

    def _delete(self, handler: BaseHTTPRequestHandler) -> None:
        if self.there:
            self.there = {}
            self._say(handler, 200, {"errors": []})
        else:
            words = "Error deleting reservation fairlead-abc", "Requested reservation is invalid"
            self._say(handler, 422, refused(*words))

    def _say(self, handler: BaseHTTPRequestHandler, status: int, document: Mapping[str, Any]) -> None:
        text = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


def test_a_reservation_is_made_once_moved_and_given_up_without_any_command(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", NO_COMMANDS)
    booking, start, end = Booking(stand), NOW + HOUR, NOW + 2 * HOUR
    ours = leases(stand, partition="batch")
    made = ours.reserve("abc", ONE, "slurm", start, end)
    assert (made.reference, made.start, made.end, made.state) == ("abc", start, end, LeaseState.PENDING)
    assert (made.hosts, made.holder, made.reservation) == (("n1",), "fairlead", "fairlead-abc")
    assert ours.reserve("abc", ONE, "slurm", start, end) == made
    assert booking.sent == [
        {
            "name": "fairlead-abc",
            "start_time": seconds(start),
            "end_time": seconds(end),
            "users": ["fairlead"],
            "node_count": number(1),
            # three CPUs are two cores of two threads
            "core_count": number(2),
            "partition": "batch",
        }
    ]
    assert ours.extend(made.id, end + HOUR).end == end + HOUR
    assert booking.sent[1:] == [{"name": "fairlead-abc", "end_time": seconds(end + HOUR)}]
    ours.cancel(made.id)
    ours.cancel(made.id)
    assert list(ours.list()) == []


def test_one_whose_time_has_come_is_active_though_nobody_says_so(stand: Stand) -> None:
    booking = Booking(stand)
    assert leases(stand).reserve("abc", ONE, "slurm", None, NOW + HOUR).state is LeaseState.ACTIVE
    booking.there["end_time"] = seconds(NOW)
    [ended] = leases(stand).list()
    assert ended.state is LeaseState.ENDED


REFUSALS = [
    ("Requested nodes are busy", "capacity", "others have the nodes then"),
    ("Invalid user id", "rights", "an operator's rights"),
    ("Invalid partition name specified", "kind", "no such partition"),
    ("Unspecified error", "rights", "Slurm gives no reason"),
]


@pytest.mark.parametrize(("error", "limit", "meaning"), REFUSALS)
def test_what_slurm_refuses_is_said_in_words(stand: Stand, error: str, limit: str, meaning: str) -> None:
    Booking(stand)
    why = "Error creating reservation fairlead-abc. Note, unless nodes are directly requested, a partition"
    stand.answers["POST /slurm/v0.0.45/reservation"] = 422, refused(why, error)
    with pytest.raises(RefusedError, match=meaning) as caught:
        leases(stand).reserve("abc", ONE, "slurm", None, NOW + HOUR)
    assert (caught.value.limit, caught.value.said) == (limit, error)


def test_without_its_controller_nothing_is_known(stand: Stand) -> None:
    Booking(stand)
    away = refused("Error creating reservation", "Unable to contact slurm controller (connect failure)")
    stand.answers["POST /slurm/v0.0.45/reservation"] = 502, away
    with pytest.raises(OutsideError, match="fails with status 502"):
        leases(stand).reserve("abc", ONE, "slurm", None, NOW + HOUR)


def no_commands_but_env(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    (directory / "bin").mkdir()
    (directory / "bin" / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(directory / "bin"))


def test_a_version_that_makes_none_takes_a_command_which_is_named(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_commands_but_env(monkeypatch, tmp_path)
    stand.versions(42)
    with pytest.raises(OutsideError) as caught:
        leases(stand).reserve("abc", ONE, "slurm", None, NOW + HOUR)
    assert str(caught.value) == (
        "site perth: its host has no command scontrol, which is needed beside it: slurmrestd at "
        f"{stand.url} speaks v0.0.42, and makes reservations since v0.0.43 (Slurm 25.05)"
    )


@pytest.mark.parametrize("version", [38, 45])
def test_the_past_is_what_the_accounting_has(
    stand: Stand, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", NO_COMMANDS)
    stand.versions(version)
    since, until = (int(each.timestamp()) for each in (RAN - HOUR, RAN + HOUR))
    asked = f"jobs?start_time=uts{since}&end_time=uts{until}&skip_steps=true"
    stand.answers[f"GET /slurmdb/v0.0.{version}/{asked}"] = 200, ACCOUNTS[f"v0.0.{version}"]
    found = past(stand)
    assert [(use.booking, use.holder, use.kind) for use in found.uses] == [
        (f"job {each}", "root", "batch") for each in (1, 2, 3)
    ]
    done, failed, runs = found.uses
    # in the older one's run it ended in the second in which it began
    assert done.how is (End.UNUSED if version == 38 else End.EARLY)
    assert failed.how is End.UNUSED
    assert (runs.how, runs.end, runs.amounts) == (End.RUNNING, None, {VCPU: 1, MEMORY_MB: 500})
    assert runs.asked_end == runs.start + HOUR
    assert past(stand, partition="other").uses == ()


def test_gpus_of_the_past_are_shared_among_its_nodes(stand: Stand) -> None:
    stand.versions(45)
    jobs = [each for each in ACCOUNTS["v0.0.45"]["jobs"] if each["job_id"] == 2]
    longer = {**jobs[0], "time": {**jobs[0]["time"], "end": jobs[0]["time"]["end"] + 300, "limit": NO_LIMIT}}
    since, until = (int(each.timestamp()) for each in (RAN - HOUR, RAN + HOUR))
    asked = f"jobs?start_time=uts{since}&end_time=uts{until}&skip_steps=true"
    stand.answers[f"GET /slurmdb/v0.0.45/{asked}"] = 200, {"jobs": [longer], "errors": []}
    [use] = past(stand).uses
    assert (use.how, use.amounts) == (End.FAILED, {VCPU: 2, MEMORY_MB: 1000, PGPU: 2})
    assert use.hosts == {each: {VCPU: 1, MEMORY_MB: 500, PGPU: 1} for each in ("n1", "n2")}
    assert use.asked_end is None


def test_a_slurmrestd_without_the_accounting_takes_a_command_which_is_named(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_commands_but_env(monkeypatch, tmp_path)
    stand.versions(38)
    with pytest.raises(OutsideError) as caught:
        past(stand)
    assert str(caught.value) == (
        "site perth: its host has no command sacct, which is needed beside it: slurmrestd at "
        f"{stand.url} tells nothing of the accounting"
    )


def test_a_cancel_that_is_refused_with_a_good_status_is_a_refusal(stand: Stand) -> None:
    stand.versions(45)
    told = {"error": {"string": "Access/permission denied", "code": 2002}, "step_id": "10"}
    stand.answers["DELETE /slurm/v0.0.45/job/10"] = 200, {"status": [told], "errors": []}
    with pytest.raises(SlurmRefusedError, match="refuses: Access/permission denied"):
        stand.client().cancel(10)
    stand.answers["DELETE /slurm/v0.0.45/job/10"] = 200, {"status": [], "errors": []}
    stand.client().cancel(10)


def drips(handler: BaseHTTPRequestHandler) -> None:
    """Headers without end, a byte at a time."""
    handler.send_response_only(200)
    handler.flush_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"X")
            time.sleep(0.02)


def test_headers_that_never_end_hold_nobody_up(stand: Stand) -> None:
    stand.versions(45)
    stand.answers["GET /slurm/v0.0.45/jobs"] = 200, drips
    with pytest.raises(SlurmAwayError, match="can't be asked: timed out"):
        stand.client(0.5).list("jobs")
