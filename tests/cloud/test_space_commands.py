"""`fairlead space` against a real cloud, as its administrator and as a member."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import main
from tests.cloud.cloud import Cloud
from tests.cloud.leases import between_hours, boot, create, whole_hosts

pytestmark = pytest.mark.cloud
Fairlead = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def fairlead(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Fairlead:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))

    def run(*arguments: str) -> tuple[int | str | None, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["space", *arguments])
        said = capfd.readouterr()
        return left.value.code, said.out, said.err

    return run


def asked(fairlead: Fairlead, *arguments: str) -> Any:
    status, out, err = fairlead(*arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def test_a_lease_from_the_question_to_its_end(fairlead: Fairlead) -> None:
    admin = ("--cloud", "admin")
    size = ("--hosts", "2", "--for", "2h", "--after", "1h")
    before = asked(fairlead, "when", *size, *admin)["answers"][0]
    status, _, err = fairlead("reserve", "imaging", *size, *admin)
    assert (status, "expected --yes" in err) == (2, True)
    lease = asked(fairlead, "reserve", "imaging", *size, *admin, "--yes")
    assert (lease["state"], lease["doubts"], sorted(lease["hosts"])) == (
        "pending",
        [],
        sorted(before["openings"][0]["hosts"]),
    )
    assert asked(fairlead, "reserve", "imaging", *size, *admin, "--yes")["id"] == lease["id"]
    # of three hosts one is left for that time, and the picture knows whose the others are
    shorter = asked(fairlead, "when", *size, *admin)["answers"][0]
    assert shorter["openings"][0]["start"] > lease["end"][:16]
    hosts = asked(fairlead, "calendar", *admin)["calendars"][0]["taken"]
    assert {(part["host"], part["ours"]) for part in hosts} == {(host, "imaging") for host in lease["hosts"]}
    longer = asked(fairlead, "extend", "imaging", "--by", "1h", *admin, "--yes")
    assert longer["end"] > lease["end"]
    assert [each["id"] for each in asked(fairlead, "list", *admin)["leases"]] == [lease["id"]]
    status, _, err = fairlead("cancel", "imaging", *admin, "--yes")
    assert (status, "imaging: gone" in err) == (0, True)
    assert asked(fairlead, "list", *admin)["leases"] == []


def test_a_member_reserves_where_the_calendar_is_hidden_and_is_told_what_was_refused(
    fairlead: Fairlead, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = ("--cloud", "member")
    status, out, _ = fairlead("when", "--cores", "2", "--for", "1h", *member)
    assert (status, "as far as the sites show" in out) == (1, True)
    assert "blazar:oshosts:get_allocations" in " ".join(out.split())
    lease = asked(
        fairlead, "reserve", "mine", "--cores", "2", "--for", "1h", "--after", "1h", *member, "--yes"
    )
    assert lease["hosts"] is None
    assert "can be told only once it is active" in lease["doubts"][0]
    status, _, err = fairlead("reserve", "all", "--hosts", "9", "--for", "1h", *member, "--yes")
    assert (status, "the cloud refused (capacity)" in err) == (1, True)
    status, _, err = fairlead("reserve", "no", "--cores", "1", "--for", "1h", "--cloud", "reader", "--yes")
    assert (status, "the cloud refused (rights)" in err) == (1, True)
    cloud.open_calendar(True)
    # what was seen before is kept for half a minute
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "later"))
    assert asked(fairlead, "when", "--hosts", "3", "--for", "1h", "--after", "4h", *member)["answers"]


def test_a_server_that_did_not_start_is_explained(fairlead: Fairlead, cloud: Cloud) -> None:
    admin = cloud.connect("admin")
    boot(admin, "small", name="unreserved")
    status, out, err = fairlead("explain", "unreserved", "--cloud", "admin")
    assert status == 0, err
    assert out.startswith("freepool: ")
    assert "it would work from" in out


def test_a_refusal_names_who_is_in_the_way(fairlead: Fairlead, cloud: Cloud) -> None:
    create(cloud.connect("other"), whole_hosts(3), name="survey", **between_hours(1, 5))
    size = ("--hosts", "1", "--for", "1h", "--after", "2h")
    status, out, _ = fairlead("explain", "Not enough hosts available", *size, "--cloud", "admin")
    assert status == 0
    assert "survey of solar" in out
    assert "it would work from" in out
