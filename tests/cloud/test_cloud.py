"""The test cloud itself: it lends hosts and parts of them, and refuses, as a real one does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import openstack
import pytest
from keystoneauth1 import exceptions

from tests.cloud import leases
from tests.cloud.cloud import Cloud
from tests.loopback import Asked, Said, said_json, serving

pytestmark = pytest.mark.cloud

AZ1 = '["==", "$zone", "az1"]'
FUTURE = {"start": "2099-01-01 10:00", "end": "2099-01-01 12:00"}


def allocations(cloud: Cloud) -> dict[str, list[str]]:
    """Host -> the ids of the leases that have it, as an administrator sees it."""
    with cloud.connect() as admin:
        names = {
            host["id"]: host["hypervisor_hostname"]
            for host in admin.reservation.get("/os-hosts").json()["hosts"]
        }
        found = admin.reservation.get("/os-hosts/allocations").json()["allocations"]
    return {
        names[entry["resource_id"]]: [part["lease_id"] for part in entry["reservations"]] for entry in found
    }


def test_whole_hosts_are_lent_to_one_lease_at_a_time(cloud: Cloud) -> None:
    member = cloud.connect("member")
    gpu = leases.create(member, leases.whole_hosts(properties='["==", "$gpu", "True"]'), **FUTURE)
    others = leases.create(member, leases.whole_hosts(2), **FUTURE)
    refused = leases.ask(member, leases.whole_hosts(), **FUTURE)
    assert (refused.status_code, refused.json()["error_message"]) == (500, "Not enough hosts available")
    assert {host: ids for host, ids in allocations(cloud).items() if ids} == {
        "cpu1": [others["id"]],
        "cpu2": [others["id"]],
        "gpu1": [gpu["id"]],
    }


def test_a_server_runs_where_room_was_reserved_and_nowhere_else(cloud: Cloud) -> None:
    member = cloud.connect("member")
    by_size = leases.create(member, leases.instances(1, 2, 4096))
    lease = leases.wait_until(member, by_size, "ACTIVE")
    reserved = leases.boot(member, lease["reservations"][0]["flavor_id"])
    assert reserved.status == "ACTIVE", reserved.fault
    not_reserved = leases.boot(member, "small")
    assert not_reserved.status == "ERROR"
    assert "No valid host" in not_reserved.fault["message"]


def test_a_flavor_is_reserved(cloud: Cloud) -> None:
    member = cloud.connect("member")
    lease = leases.wait_until(member, leases.create(member, leases.flavor(2, "large")), "ACTIVE")
    names = {flavor.name for flavor in member.compute.flavors()}
    assert f"reservation:{lease['reservations'][0]['id']}" in names
    server = leases.boot(member, lease["reservations"][0]["flavor_id"])
    assert server.status == "ACTIVE", server.fault


def test_placement_knows_the_hosts(cloud: Cloud) -> None:
    admin = cloud.connect()
    providers = admin.placement.get("/resource_providers").json()["resource_providers"]
    inventories = {
        provider["name"]: admin.placement.get(f"/resource_providers/{provider['uuid']}/inventories").json()[
            "inventories"
        ]
        for provider in providers
    }
    assert {host.name for host in cloud.hosts} <= set(inventories)
    for host in cloud.hosts:
        assert inventories[host.name]["VCPU"]["total"] == host.vcpus
        assert inventories[host.name]["MEMORY_MB"]["total"] == host.memory_mb
    assert inventories["gpu1"]["PGPU"]["total"] == 4
    assert "PGPU" not in inventories["cpu1"]


def test_a_reader_sees_and_nothing_more(cloud: Cloud) -> None:
    lease = leases.create(cloud.connect("member"), leases.whole_hosts(), **FUTURE)
    reader = cloud.connect("reader")
    assert [seen["id"] for seen in reader.reservation.get("/leases").json()["leases"]] == [lease["id"]]
    assert leases.ask(reader, leases.whole_hosts(), **FUTURE).status_code == 403
    assert cloud.connect("other").reservation.get("/leases").json()["leases"] == []


def test_the_calendar_is_opened_and_closed_while_blazar_runs(cloud: Cloud) -> None:
    member = cloud.connect("member")

    def sees() -> list[int]:
        paths = ("/os-hosts", "/os-hosts/allocations", "/os-hosts/properties")
        return [member.reservation.get(path, raise_exc=False).status_code for path in paths]

    assert sees() == [403, 403, 403]
    cloud.open_calendar()
    assert sees() == [200, 200, 200]
    assert member.reservation.post("/os-hosts", json={"name": "cpu1"}, raise_exc=False).status_code == 403
    cloud.open_calendar(False)
    assert sees() == [403, 403, 403]


def test_an_application_credential_reads_and_writes_only_where_keystone_lets_it(cloud: Cloud) -> None:
    with cloud.connect("member") as member:
        # its type is that of either version of the API
        keystone: Any = member.identity
        made = keystone.create_application_credential(
            user=member.current_user_id, name="reads", roles=[{"name": "member"}], unrestricted=True
        )
    auth = {"auth_url": cloud.auth_url, "application_credential_id": made.id}
    connection = openstack.connection.Connection(
        auth_type="v3applicationcredential",
        auth={**auth, "application_credential_secret": made.secret},
        region_name="RegionOne",
        reservation_api_version="1",
    )
    with closing(connection.session.session):
        assert connection.reservation.get("/leases").status_code == 200
        assert leases.ask(connection, leases.whole_hosts(), **FUTURE).status_code == 500
        escape = {"security_compliance": {"allow_insecure_application_credential_trust_escalation": "true"}}
        cloud.configure("keystone", escape)
        assert leases.ask(connection, leases.whole_hosts(), **FUTURE).status_code == 201


@pytest.fixture
def credits_service() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A service that allows what isn't called "dear": its URL, and what it was asked."""
    asked: list[dict[str, Any]] = []

    def answer(call: Asked) -> Said:
        body = call.json()
        asked.append({"path": call.path, "token": call.headers["X-Auth-Token"], **body})
        denied = body["lease"]["name"] == "dear"
        return said_json({"message": "Too dear"}, 403) if denied else Said(204)

    with serving(answer) as server:
        yield server.origin, asked


def test_blazar_asks_a_service_of_credits(
    cloud: Cloud, credits_service: tuple[str, list[dict[str, Any]]]
) -> None:
    url, asked = credits_service
    cloud.enforce(external_service=url, token="key", max_lease_seconds=4 * 3600)
    member = cloud.connect("member")
    assert leases.ask(member, leases.whole_hosts(), name="cheap", **FUTURE).status_code == 201
    dear = leases.ask(member, leases.whole_hosts(), name="dear", **FUTURE)
    assert (dear.status_code, dear.json()["error_message"]) == (400, "Too dear")
    long = leases.ask(member, leases.whole_hosts(), start="2099-01-01 10:00", end="2099-01-02 10:00")
    assert long.status_code == 403
    assert "maximum lease duration" in long.json()["error_message"]
    assert {(call["path"], call["token"], call["context"]["project_id"]) for call in asked} == {
        ("/check-create", "key", cloud.projects["astro"])
    }


def test_a_service_goes_away_and_comes_back(cloud: Cloud) -> None:
    member = cloud.connect("member")
    member.reservation.get("/leases")
    cloud.stop("blazar-api")
    with pytest.raises(exceptions.ConnectFailure):
        member.reservation.get("/leases", connect_retries=0)
    cloud.start("blazar-api")
    assert member.reservation.get("/leases").status_code == 200


def test_a_service_behind_tls_wants_its_certificate_trusted(cloud: Cloud) -> None:
    with cloud.tls("identity") as keystone, cloud.tls("reservation") as blazar:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(keystone.url, timeout=60)
        member = cloud.connect(
            "member",
            auth={"auth_url": keystone.url},
            cacert=str(keystone.certificate),
            reservation_endpoint_override=blazar.url,
        )
        assert member.reservation.get("/leases", verify=str(blazar.certificate)).status_code == 200


def test_a_test_finds_the_cloud_as_it_was_at_the_start(cloud: Cloud) -> None:
    admin, member = cloud.connect(), cloud.connect("member")
    astro = cloud.projects["astro"]
    cores = member.get_compute_limits().max_total_cores
    lease = leases.wait_until(
        member, leases.create(member, leases.instances(1, 2, 4096, properties=AZ1)), "ACTIVE"
    )
    leases.boot(member, lease["reservations"][0]["flavor_id"])
    admin.set_compute_quotas(astro, cores=3)
    hosts = {host["hypervisor_hostname"]: host for host in admin.reservation.get("/os-hosts").json()["hosts"]}
    admin.reservation.put(f"/os-hosts/{hosts['gpu1']['id']}", json={"gpu_model": "H100"})
    (idle,) = (host for host in ("cpu1", "cpu2") if not allocations(cloud).get(host))
    assert admin.reservation.delete(f"/os-hosts/{hosts[idle]['id']}").status_code in (200, 204)
    cloud.open_calendar()
    cloud.stop("blazar-api")

    cloud.clean()

    now = {host["hypervisor_hostname"]: host for host in admin.reservation.get("/os-hosts").json()["hosts"]}
    assert set(now) == {"cpu1", "cpu2", "gpu1"}
    assert now["gpu1"]["gpu_model"] == "A100"
    assert all(host["reservable"] for host in now.values())
    assert admin.reservation.get("/leases").json()["leases"] == []
    assert list(admin.compute.servers(all_projects=True)) == []
    assert member.get_compute_limits().max_total_cores == cores
    assert member.reservation.get("/os-hosts", raise_exc=False).status_code == 403
