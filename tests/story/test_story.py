"""One request on data in Rucio and S3, asked of a federation in which each site has another platform."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import Table
from astropy.wcs import WCS

from fairlead.client import BrokerClient, Document, figure, notes, site_of
from fairlead.client import offers as read_offers
from federation.clock import SystemClock
from tests.cloud.cloud import Cloud
from tests.slurm.cluster import slurm_is_impossible
from tests.story.survey import SOURCES_A_TILE, Survey
from tests.story.world import CUTOUTS, SCOPE, World, request, world
from tests.waiting import until

pytestmark = [pytest.mark.cloud, pytest.mark.podman]

PATIENCE_SECONDS = 300.0
CAN = ("capetown", "lausanne", "manchester", "penticton", "perth")
RESULT = "cutouts.fits"


@pytest.fixture(scope="module")
def federation(running_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    reason = slurm_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    image = f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1"
    with world(tmp_path_factory.mktemp("story"), image, running_cloud) as made:
        yield made


def ask(client: BrokerClient, document: Document) -> Document:
    """The answer, once the broker knows what its platforms can run, and was answered itself in time."""

    def known() -> Document | None:
        answer = client.request(json.dumps(document))
        unknown = any(words in str(answer) for words in ("it is being asked", "can't be asked"))
        return None if unknown else answer

    answer = until(known, "an answer of all who are asked", seconds=PATIENCE_SECONDS, pause=0.2)
    assert answer is not None
    return answer


def until_over(client: BrokerClient, uuid_: str) -> Document:
    def over() -> Document | None:
        session = client.session(uuid_)
        return session if session["phase"] in ("COMPLETED", "FAILED", "CANCELLED") else None

    session = until(over, "its end", lambda: client.session(uuid_), PATIENCE_SECONDS, pause=0.2)
    assert session is not None
    return session


def texts(component: Document) -> str:
    return "\n".join(text for _, text in notes(component))


def expected(sky: Survey) -> dict[str, Any]:
    """What astropy's own way of making cut-outs finds in the originals."""
    wanted = Table.read(io.BytesIO(sky.sources), format="fits")
    found = {}
    for content in sky.tiles.values():
        with fits.open(io.BytesIO(content)) as tile:
            wcs = WCS(tile[0].header)
            for name, ra, dec in wanted.iterrows("NAME", "RA", "DEC"):
                place = SkyCoord(ra, dec, unit="deg")
                if place.contained_by(wcs):
                    found[name] = Cutout2D(tile[0].data, place, 15, wcs=wcs, copy=True).data
    return found


def test_the_answer_ranks_the_sites_that_can_and_says_why_others_cannot(federation: World) -> None:
    with federation.as_client(federation.broker) as client:
        answer = ask(client, request(federation))
        assert answer["result"] == "YES", texts(answer)
        offers = read_offers(answer, SystemClock().now())
        assert sorted(each.site for each in offers) == sorted(CAN), texts(answer)
        # best first: by when the result is there, which is a matter of what was measured
        results = [
            figure(each, "metrics", "urn:fairlead:metric:seconds-to-result") for each in answer["offers"]
        ]
        latest = [each[1] for each in results if each]
        assert latest == sorted(latest)
        assert len(latest) == len(CAN)
        for session in answer["offers"]:
            said, site = texts(session), site_of(session)
            if site == "perth":
                assert "lies at perth already" in said, said
                assert "sources.fits (8.64 kB) from lausanne to perth" in said, said
            else:
                assert f"from perth to {site}" in said, said
            assert "iperf3 tests" in said
        assert "sydney has 1 core" in texts(answer), texts(answer)

        too_much = ask(client, request(federation, cores=4000))
        assert too_much["result"] == "NO"
        for site in (*CAN, "sydney"):
            assert site in texts(too_much)


@pytest.mark.parametrize("site", CAN)
def test_each_offer_runs_and_its_result_is_what_astropy_cuts(federation: World, site: str) -> None:
    with federation.as_client(federation.broker) as client:
        answer = ask(client, request(federation))
        [offer] = [each for each in answer["offers"] if site_of(each) == site]
        uuid_ = offer["meta"]["uuid"]
        client.move(uuid_, "ACCEPTED")
        session = until_over(client, uuid_)
        assert session["phase"] == "COMPLETED", texts(session)
        sums = json.loads(client.logs(uuid_)["stdout"])
        result = fetch(federation, client, site, uuid_)
    wanted = expected(federation.sky)
    assert len(wanted) == len(federation.sky.tiles) * SOURCES_A_TILE
    assert sums == pytest.approx({name: float(image.sum()) for name, image in wanted.items()})
    with fits.open(io.BytesIO(result), checksum=True) as found:
        assert {each.name for each in found[1:]} == set(wanted)
        for each in found[1:]:
            np.testing.assert_array_equal(each.data, wanted[each.name])
    keep(federation, f"cutouts-{site}.fits", result)


def fetch(federation: World, client: BrokerClient, site: str, uuid_: str) -> bytes:
    """The result by the API; that of a session at another broker stays there, and is fetched there."""
    if site != "capetown":
        return b"".join(client.file(uuid_, "results", RESULT))
    with federation.as_client(federation.other) as there:
        [session] = there.sessions(["COMPLETED"])
        return b"".join(there.file(session["meta"]["uuid"], "results", RESULT))


def keep(federation: World, name: str, result: bytes) -> None:
    """The result is stored: the bytes at lausanne's storage element and in S3, the checksum in Rucio."""
    federation.put("LAUSANNE", name, result)
    federation.admin.ask("POST", f"/dids/{SCOPE}/{CUTOUTS}/dids", {"dids": [{"scope": SCOPE, "name": name}]})
    federation.put_s3(name, result)
    asked = [sys.executable, "-m", "fairlead", "data", "where", f"{SCOPE}:{name}", "--site", "lausanne"]
    done = subprocess.run(asked, env=federation.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
