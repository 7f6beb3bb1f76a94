"""A small federation, and requests to it, for the tests of offers, ledger, sessions and supervisor."""

from datetime import UTC, datetime, timedelta

import pytest

from broker.model import DataItem, Executable, MinMax, Replica, Request
from federation.clock import ManualClock
from federation.settings import load_settings
from federation.sites import Federation, Place, Platform, Site, Tariff

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
KINDS = "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/"
DIGEST = "sha256:" + "ab" * 32


def make_site(site_id, latitude, longitude, cores=8, price=0.1, **platform):
    size = {"kind": "simulated", "cores": cores, "memory_gib": 32, "storage_gib": 100} | platform
    return Site(
        site_id,
        site_id.capitalize(),
        Place(latitude, longitude),
        rses=(f"{site_id.upper()}-DISK",),
        data_hosts=(f"data.{site_id}.example",),
        platform=Platform(**size),
        tariff=Tariff(per_core_hour=price),
    )


def make_federation(*sites):
    return Federation("test", {site.id: site for site in sites})


def make_request(cores=(1, None), memory=(1, None), data=(), duration=timedelta(hours=1), start=None, **more):
    earliest, latest = start or (NOW, NOW + timedelta(days=1))
    return Request(
        executable=Executable("checksum", ("example.org/checksum:1",), DIGEST),
        cores=MinMax(*cores),
        memory_gib=MinMax(*memory),
        storage=(),
        data=tuple(data),
        mounts=(),
        duration=duration,
        earliest_start=earliest,
        latest_start=latest,
        **more,
    )


def make_data(*sites, size_bytes=200_000_000, name="ngc1365.fits"):
    replicas = tuple(Replica(f"http://data.{site}.example/{name}", site) for site in sites)
    return DataItem(f"data-{name}", name, size_bytes, replicas)


def make_document(cores=(1, None), duration="PT1H", start=None, data=(), **more):
    bounds = {"min": cores[0]} | ({} if cores[1] is None else {"max": cores[1]})
    requested = {"duration": duration} | ({} if start is None else {"start": start})
    document = {
        "executable": {
            "kind": KINDS + "executable/docker-container.yaml",
            "meta": {"name": "checksum"},
            "image": {"locations": ["example.org/checksum:1"], "digest": DIGEST},
        },
        "compute": {"kind": KINDS + "compute/simple-compute-resource.yaml", "cores": bounds},
        "schedule": {"requested": requested},
    }
    if data:
        document["data"] = [
            {
                "kind": KINDS + "data/simple-data-resource.yaml",
                "meta": {"name": url.rsplit("/", 1)[-1]},
                "location": url,
            }
            for url in data
        ]
    return document | more


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def settings(tmp_path):
    return load_settings(None, {"HOME": str(tmp_path), "FAIRLEAD_WORK_DIRECTORY": str(tmp_path / "work")})


@pytest.fixture
def federation():
    return make_federation(
        make_site("perth", -31.95, 115.86, price=0.3),
        make_site("lausanne", 46.52, 6.63, price=0.2),
        make_site("penticton", 49.50, -119.59, price=0.1),
    )


@pytest.fixture
def make_broker(settings, federation, engine, clock, tmp_path):
    """See `tests.broker.driving.broker_maker`."""
    from tests.broker.driving import broker_maker

    return broker_maker(settings, federation, engine, clock, tmp_path)
