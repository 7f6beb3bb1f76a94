"""The test cloud itself: it lends hosts and parts of them, and refuses what it hasn't, as a real one does."""

from __future__ import annotations

import pytest

from tests.cloud.cloud import Cloud

pytestmark = pytest.mark.cloud


def test_a_whole_host_is_leased(cloud: Cloud) -> None:
    member = cloud.connect("member")
    host = {
        "resource_type": "physical:host",
        "min": 1,
        "max": 1,
        "hypervisor_properties": "",
        "resource_properties": "",
    }
    lease = {"name": "one", "start_date": "2099-01-01 10:00", "end_date": "2099-01-01 12:00", "events": []}
    answer = member.reservation.post("/leases", json={**lease, "reservations": [host]})
    assert answer.status_code == 201, answer.text
    found = cloud.connect().reservation.get("/os-hosts/allocations").json()["allocations"]
    assert sum(len(entry["reservations"]) for entry in found) == 1
