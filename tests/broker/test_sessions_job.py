"""What a platform is handed: where data and storage appear in the container."""

from dataclasses import replace

from broker.model import Job, MinMax, Mount, MountMode, StorageItem
from broker.offers.engine import find_candidates, make_offers
from broker.platforms import load_platform
from broker.sessions.job import make_job
from broker.sessions.store import Progress
from tests.broker.conftest import NOW, make_data, make_request
from tests.broker.offering import LIFETIME, forecast


def job_for(federation, clock, tmp_path, request, paths) -> Job:
    platforms = {site.id: load_platform(site, federation, clock, tmp_path) for site in federation}
    candidates, _ = find_candidates(federation, platforms, request, forecast)
    placement = make_offers(candidates, {}, NOW, LIFETIME).placements[0]
    return make_job("session", request, placement, Progress(paths))


def test_a_mounted_file_and_a_mounted_storage_are_bound_where_they_were_asked_for(
    federation, clock, tmp_path
):
    item = make_data("perth")
    request = replace(
        make_request(data=[item]),
        storage=(StorageItem("scratch", "scratch", MinMax(1)),),
        mounts=(
            Mount("/in/galaxy.fits", MountMode.READONLY, item.uuid),
            Mount("/out", MountMode.READWRITE, "scratch"),
        ),
    )
    job = job_for(
        federation, clock, tmp_path, request, {item.uuid: "/site/ngc1365.fits", "scratch": "/site/s"}
    )
    assert job.binds == (
        ("/site/ngc1365.fits", "/in/galaxy.fits", MountMode.READONLY),
        ("/site/s", "/out", MountMode.READWRITE),
    )


def test_data_that_goes_to_a_storage_is_a_file_in_it(federation, clock, tmp_path):
    item = replace(make_data("perth"), storage="scratch")
    request = replace(
        make_request(data=[item]),
        storage=(StorageItem("scratch", "scratch", MinMax(1)),),
        mounts=(Mount("/work/", MountMode.READWRITE, "scratch"),),
    )
    job = job_for(
        federation, clock, tmp_path, request, {item.uuid: "/site/ngc1365.fits", "scratch": "/site/s"}
    )
    assert job.binds == (
        ("/site/s", "/work/", MountMode.READWRITE),
        ("/site/ngc1365.fits", "/work/ngc1365.fits", MountMode.READWRITE),
    )
