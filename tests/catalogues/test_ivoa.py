"""Identifiers and documents of the Virtual Observatory, followed to the data itself.

The documents are written after the standards' own examples (DataLink 1.1, VOTable 1.4, DALI 1.1); pyvo reads
the same of them.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalogues import CatalogueError, Resolved
from broker.catalogues.ivoa_datalink import the_data
from broker.catalogues.ivoa_services import services
from broker.catalogues.ivoa_votable import rows
from federation.errors import InputError
from federation.sites import Federation
from tests.catalogues.answering import answering
from tests.catalogues.environment import python
from tests.catalogues.serving import error, federation, resolve, staged
from tests.catalogues.vo_service import COLUMNS, DATALINK, Centre, data_centre, votable

KIND = "ivoa-data-resource"
DID = "ivo://example.org/sky?obs/it's 1".replace(" ", "%20")
RECORD = "ivo://example.org/sky"


@pytest.fixture
def centre() -> Iterator[Centre]:
    with data_centre() as running:
        yield running


def link(centre: Centre, **more: str) -> dict[str, str]:
    whole = {"ID": DID, "access_url": f"{centre.url}/data/a", "semantics": "#this", "content_length": "77"}
    return whole | more


def look(around: Federation, **blocks: Any) -> Resolved:
    return resolve(around, KIND, {"ivoa": {"ivoid": DID, **blocks}})


def with_registry(centre: Centre) -> Federation:
    return federation({"ivoa": {"registry": f"{centre.url}/tap"}})


def document(url: str) -> dict[str, str]:
    """The ObsCore row that leads to a DataLink document."""
    return {"access_url": url, "access_format": DATALINK}


def found(resolved: Resolved) -> tuple[str, int | None, str | None]:
    item = resolved.item
    assert item is not None
    assert resolved.notes == ()
    return item.replicas[0].url, item.size_bytes, item.ivoid


# documents


def test_a_datalink_document_is_followed_to_the_data(centre: Centre) -> None:
    preview = link(centre, semantics="#preview", access_url=f"{centre.url}/data/p")
    centre.links["a"] = [preview, link(centre)]
    obscore = document(f"{centre.url}/links/a?ID=x")
    assert found(look(federation(), obscore=obscore)) == (f"{centre.url}/data/a", 77, DID)


def test_where_the_document_says_no_size_the_server_does(centre: Centre) -> None:
    centre.links["a"] = [link(centre, content_length="")]
    assert found(look(federation(), obscore=document(f"{centre.url}/links/a")))[1] == 77


def test_of_a_document_about_several_the_own_row_counts(centre: Centre) -> None:
    other = link(centre, ID="ivo://example.org/sky?other", access_url=f"{centre.url}/data/other")
    full = "http://www.ivoa.net/rdf/datalink/core#this"
    centre.links["a"] = [other, link(centre, semantics=full)]
    assert found(look(federation(), obscore=document(f"{centre.url}/links/a")))[0] == f"{centre.url}/data/a"


def test_pyvo_reads_the_same(centre: Centre) -> None:
    centre.links["a"] = [link(centre, semantics="#preview"), link(centre)]
    centre.add("ivoa.ObsCore", DID, f"{centre.url}/links/a", DATALINK, 1)
    centre.has_tap(RECORD, f"{centre.url}/tap")
    ours = found(look(with_registry(centre)))
    query = centre.asked[-1]
    command = [python(), Path(__file__).with_name("pyvo_reads.py"), f"{centre.url}/tap", query]
    end = subprocess.run(
        [*command, f"{centre.url}/links/a"], capture_output=True, text=True, timeout=60, check=False
    )
    assert end.returncode == 0, end.stderr
    assert json.loads(end.stdout) == {"rows": [[f"{centre.url}/links/a"]], "this": [list(ours[:2])]}


BOMB = '<!DOCTYPE m [<!ENTITY a "aaaa">]><VOTABLE>&a;</VOTABLE>'
ELSEWHERE = votable(COLUMNS, []).replace(
    "<TABLEDATA></TABLEDATA>", '<BINARY2><STREAM href="file:///etc/passwd"/></BINARY2>'
)
PARQUET = votable(COLUMNS, []).replace("<TABLEDATA></TABLEDATA>", "<PARQUET></PARQUET>")
SHORT = votable(["ID", "access_url"], [["x"]])
GONE = {"ID": DID, "error_message": "NotFoundFault: there is\nno such", "semantics": "#this"}
SERVICE = {"ID": DID, "service_def": "cutout", "semantics": "#this"}
OTHER = {"ID": DID, "access_url": "http://127.0.0.1/p", "semantics": "#preview"}


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        ([GONE], "data-not-found", "says 'NotFoundFault: there is no such'"),
        ([SERVICE], "data-not-resolved", "leaves the data to a service ('cutout')"),
        ([OTHER], "data-not-found", "names nothing as the data itself"),
        ([], "data-not-found", "names nothing as the data itself"),
        ([{**OTHER, "semantics": "#this", "access_url": f"http://127.0.0.1/{n}"} for n in range(101)],
         "resource-limit", "names 101 files as the data itself, more than 100"),
        ([{**OTHER, "semantics": "#this", "content_type": DATALINK}],
         "data-not-resolved", "leads to another such document"),
        ([{**OTHER, "semantics": "#this", "access_url": "file:///etc/passwd"}], "data-location", "'file'"),
        (votable([], [], "UsageFault: no ID"), "catalogue-failed", "the service says 'UsageFault: no ID'"),
        (BOMB, "catalogue-failed", "it is no VOTable"),
        ("<html></html>", "catalogue-failed", "it is no VOTable"),
        ("{}", "catalogue-failed", "it is no VOTable"),
        (votable(COLUMNS, [])[:-20], "catalogue-failed", "it is no VOTable"),
        (ELSEWHERE, "catalogue-failed", "its rows are BINARY2, in a file of their own ('file:///etc/passwd')"),
        (PARQUET, "catalogue-failed", "its rows are PARQUET: expected TABLEDATA, BINARY or BINARY2"),
        (SHORT, "catalogue-failed", "rows of another length"),
        (None, "data-not-found", "404"),
    ],
)  # fmt: skip
def test_a_document_that_leads_to_no_file_is_said(
    centre: Centre, content: list[dict[str, str]] | str | None, kind: str, said: str
) -> None:
    if content is not None:
        centre.links["a"] = content
    told = error(look(federation(), obscore=document(f"{centre.url}/links/a?secret=s3cret")))
    assert told[0] == kind
    assert said in told[1]
    assert "s3cret" not in told[1]


def test_the_row_of_a_service_is_refused_with_a_word() -> None:
    kind, text = error(look(federation(), datalink={"service_def": "cutout", "semantics": "#cutout"}))
    assert kind == "data-not-resolved"
    assert "of a service" in text


@given(st.text(max_size=200) | st.text("<>/TABLERDFIVO= \"'", max_size=80))
def test_no_document_makes_it_raise_anything_else(body: str) -> None:
    for read in (lambda: rows(body, "it"), lambda: the_data(body, DID, "it")):
        with pytest.raises(CatalogueError):
            read()


# identifiers


def test_an_identifier_is_looked_up_in_the_registry_and_its_tap_service(centre: Centre) -> None:
    centre.has_tap(RECORD, f"{centre.url}/tap/")
    centre.add("ivoa.ObsCore", DID, f"{centre.url}/data/a", "application/fits", 1)
    assert found(look(with_registry(centre))) == (f"{centre.url}/data/a", 77, DID)


def test_a_collection_is_looked_up_where_it_is_served(centre: Centre) -> None:
    centre.has_tap("ivo://example.org/tap", f"{centre.url}/tap")
    centre.add("rr.relationship", RECORD, "isservedby", "ivo://example.org/tap")
    centre.add("ivoa.ObsCore", DID, f"{centre.url}/data/a", "application/fits", 1)
    assert found(look(with_registry(centre)))[0] == f"{centre.url}/data/a"


def test_a_service_that_is_named_needs_no_registry(centre: Centre) -> None:
    centre.add("ivoa.ObsCore", DID, f"{centre.url}/data/a", "application/fits", 1)
    taps = [{"ivoid": "ivo://example.org/", "tap": f"{centre.url}/tap"}]
    taps.append({"ivoid": "ivo://example.org/other", "tap": "http://127.0.0.1:1/tap"})
    around = federation({"ivoa": {"services": taps}})
    assert found(look(around))[0] == f"{centre.url}/data/a"
    assert len(centre.asked) == 1


def test_what_no_service_knows_is_said(centre: Centre) -> None:
    kind, text = error(look(with_registry(centre)))
    assert kind == "data-not-resolved"
    assert "no TAP service" in text
    centre.has_tap(RECORD, f"{centre.url}/tap")
    assert error(look(with_registry(centre)))[0] == "data-not-resolved"
    for name in "ab":
        centre.add("ivoa.ObsCore", DID, f"{centre.url}/data/{name}", "application/fits", 1)
    assert "several observations" in error(look(with_registry(centre)))[1]


def test_what_a_service_says_is_wrong_is_told(centre: Centre) -> None:
    centre.has_tap(RECORD, f"{centre.url}/tap")
    centre.database.execute("DROP TABLE ivoa.ObsCore")
    kind, text = error(look(with_registry(centre)))
    assert kind == "catalogue-failed"
    assert "says 'no such table: ivoa.ObsCore'" in text


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (500, {}, b"", "500"),
        (401, {}, b"", "401"),
        (200, {}, b"<html></html>", "no table of CSV"),
        (200, {}, b"", "no table of CSV"),
        (200, {"Content-Length": "99"}, b"access_url\n", "half an answer"),
    ],
)
def test_a_service_that_fails_is_said(status: int, headers: dict[str, str], body: bytes, said: str) -> None:
    with answering() as server:
        server.answers["/tap/sync"] = (status, headers, body)
        kind, text = error(look(federation({"ivoa": {"registry": server.url("/tap")}})))
    assert kind == "catalogue-failed"
    assert said in text


def test_a_service_that_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.catalogues.ivoa.RESOLVE_SECONDS", 1.0)
    with answering() as server:
        server.silent = True
        begun = time.monotonic()
        assert error(look(federation({"ivoa": {"registry": server.url("/tap")}})))[0] == "catalogue-failed"
        assert error(look(federation(), obscore=document(server.url("/l"))))[0] == "catalogue-failed"
        assert time.monotonic() - begun < 30


def test_no_address_is_asked_that_is_not_allowed(centre: Centre) -> None:
    centre.links["a"] = [link(centre)]
    around = replace(federation(), sites={})
    kind, text = error(look(around, obscore=document(f"{centre.url}/links/a")))
    assert kind == "data-not-found"
    assert "no public address" in text


def test_data_behind_a_token_is_brought_with_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    with answering() as server:
        server.answers["/l"] = (
            200,
            {},
            votable(["semantics", "access_url"], [["#this", server.url("/a")]]).encode(),
        )
        server.answers["/a"] = (200, {}, b"xyz")
        tokens = [{"host": server.host, "file": str(tmp_path / "token")}]
        around = federation({"http": {"tokens": tokens}})
        resolved = look(around, obscore=document(server.url("/l")))
        assert found(resolved)[:2] == (server.url("/a"), 3)
        assert server.seen("Authorization") == ["Bearer s3cret"] * 2
        assert "s3cret" not in repr(resolved)
        assert resolved.item is not None
        path, _ = staged(around, tmp_path / "site", resolved.item)
        assert path.read_bytes() == b"xyz"
        assert server.seen("Authorization") == ["Bearer s3cret"] * 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"registry": "reg.example"}, "registry: expected the URL of a TAP service"),
        ({"services": [{"ivoid": "example.org", "tap": "https://a.example"}]}, "ivoid: expected how"),
        ({"services": [{"ivoid": "ivo://a/", "tap": "a"}]}, "tap: expected the URL"),
        ({"services": [{"ivoid": "ivo://a/"}]}, "tap: expected a text, but it is missing"),
        ({"tap": "x"}, "unknown tap"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        services(federation({"ivoa": options}))
