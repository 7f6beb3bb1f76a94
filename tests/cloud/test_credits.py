"""A real Blazar asks `fairlead credits serve` who may reserve what, and its users read our words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import leases
from tests.cloud.cloud import Cloud

pytestmark = pytest.mark.cloud
# within which something must be heard of a lease
PATIENCE_SECONDS = 180.0
# the hosts of 16 cores
SMALL = '["==", "$gpu", "False"]'


@dataclass(frozen=True)
class Service:
    """A running service, and its database by the command line."""

    cloud: Cloud
    database: str
    project: str
    process: subprocess.Popen[str]

    def command(self, *arguments: str) -> str:
        return _fairlead(self.cloud, *arguments, "--database", self.database)

    def grant(self, units: int, *more: str) -> None:
        self.command("credits", "grant", self.project, str(units), "--name", "2026Q4", *more)

    def shown(self, *more: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("credits", "show", self.project, "--json", *more))
        return found

    def left(self) -> float:
        (purse,) = self.shown()["purses"]
        return float(purse["left"])

    def wait_left(self, units: float) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (left := self.left()) != units:
            assert time.monotonic() < deadline, f"{left} are left: {self.shown('--over')}"
            time.sleep(0.2)


def _environment(cloud: Cloud) -> dict[str, str]:
    return {**os.environ, "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml)}


def _line(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-m", "fairlead", *arguments]


def _fairlead(cloud: Cloud, *arguments: str) -> str:
    done = subprocess.run(
        _line(*arguments), env=_environment(cloud), capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def service(cloud: Cloud, tmp_path: Path) -> Iterator[Service]:
    token = tmp_path / "token"
    token.write_text("blazar's own secret\n")
    database = f"sqlite:///{tmp_path / 'credits.db'}"
    serve = ["credits", "serve", "--token-file", str(token), "--port", "0", "--cloud", "admin", "--json"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            _line(*serve, "--database", database),
            env=_environment(cloud),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            assert line, (tmp_path / "log").read_text()
            said += line
        url = json.loads(said)["url"]
        cloud.enforce(external_service=url, token="blazar's own secret")
        yield Service(cloud, database, cloud.projects["astro"], process)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


def test_leases_are_paid_denied_in_our_words_extended_and_paid_back(service: Service, cloud: Cloud) -> None:
    member = cloud.connect("member")
    nobody = leases.ask(
        member, leases.instances(1, 2, 1024), start="2099-01-01 10:00", end="2099-01-01 12:00"
    )
    assert nobody.status_code == 400
    assert nobody.json()["error_message"] == "lease 'lease' is refused: this project has no credits here"

    service.grant(40)
    dates = {"start": "2099-01-01 10:00", "end": "2099-01-01 12:00"}
    denied = leases.ask(member, leases.whole_hosts(2, SMALL), name="big", **dates)
    assert denied.json()["error_message"] == (
        "lease 'big' is refused: this would cost 64 core-hours; 40 core-hours are left in 2026Q4: "
        "1 host for 2 h, or 2 for 1 h 15 min would fit"
    )
    lease = leases.create(member, leases.whole_hosts(properties=SMALL), **dates)
    assert service.left() == 40 - 2 * 16

    longer = {"end_date": "2099-01-01 12:45"}
    refused = member.reservation.put(f"/leases/{lease['id']}", json=longer, raise_exc=False)
    assert refused.json()["error_message"] == (
        "lease 'lease' can't be changed: that would cost 12 core-hours more; "
        "8 core-hours are left in 2026Q4: 30 min more would fit"
    )
    changed = member.reservation.put(
        f"/leases/{lease['id']}", json={"end_date": "2099-01-01 12:30"}, raise_exc=False
    )
    assert changed.status_code == 200, changed.text
    assert service.left() == 0
    (booking,) = service.shown()["bookings"]
    assert (booking["state"], booking["lease"]) == ("confirmed", lease["id"])

    member.reservation.delete(f"/leases/{lease['id']}")
    service.wait_left(40)


def test_flavours_cost_what_nova_says_and_an_early_end_is_paid_back(service: Service, cloud: Cloud) -> None:
    member = cloud.connect("member")
    size = member.compute.get_flavor("large").vcpus
    service.grant(100)
    lease = leases.create(member, leases.flavor(2, "large"))
    paid = 100 - service.left()
    # "now" is the minute that began, and the end was cut to a minute
    assert 2 * size * 1.9 <= paid <= 2 * size * 2.1
    leases.wait_until(member, lease, "ACTIVE")
    member.reservation.delete(f"/leases/{lease['id']}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while service.left() < 100 - 2 * size * 0.1:
        assert time.monotonic() < deadline, service.shown("--over")
        time.sleep(0.2)


def test_what_blazar_refuses_after_we_allowed_it_is_found_out(service: Service, cloud: Cloud) -> None:
    member = cloud.connect("member")
    service.grant(100)
    body = {
        "name": "never made",
        "start_date": "2099-01-01 10:00",
        "end_date": "2099-01-01 12:00",
        "before_end_date": "2099-01-02 10:00",
        "events": [],
        "reservations": [leases.instances(1, 2, 1024)],
    }
    refused = member.reservation.post("/leases", json=body, raise_exc=False)
    assert refused.status_code == 403, refused.text
    kept = leases.create(
        member, leases.instances(1, 2, 1024), start="2099-01-01 10:00", end="2099-01-01 12:00"
    )
    assert service.left() == 92
    done = json.loads(service.command("credits", "reconcile", "--cloud", "admin", "--json"))
    assert (done["confirmed"], done["unpaid"]) == (1, [])
    states = {each["name"]: (each["state"], each["lease"]) for each in service.shown()["bookings"]}
    assert states == {"never made": ("pending", None), "lease": ("confirmed", kept["id"])}
    # an operator who can't wait
    number = next(each["id"] for each in service.shown()["bookings"] if each["name"] == "never made")
    service.command("credits", "release", str(number))
    assert service.left() == 96
