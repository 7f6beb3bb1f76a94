"""Data in S3, in Rucio and in the Virtual Observatory: what is resolved, and what honestly isn't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from broker.catalogues import Resolved
from broker.model import Level
from tests.contracts.catalogue_support import resolve, told
from tests.contracts.platform_support import CONTENT
from tests.netprobe.servers import FileServer, file_server


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server(CONTENT) as server:
        yield server


def s3(online: bool = False, **fields: Any) -> Resolved:
    whole = {"endpoint": "https://s3.example", "bucket": "sky", "object": "ngc/1365 b.fits"}
    resource = {name: value for name, value in (whole | fields).items() if value is not None}
    return resolve("S3-data-resource", resource, online)


def rucio(online: bool = False, **fields: Any) -> Resolved:
    return resolve("rucio-data-resource", {"rucio": {"scope": "sky", "object": "a"} | fields}, online)


def ivoa(online: bool = False, **fields: Any) -> Resolved:
    return resolve("ivoa-data-resource", {"ivoa": {"ivoid": "ivo://example.org/sky?a"} | fields}, online)


def refusal(resolved: Resolved) -> tuple[str | None, str]:
    assert resolved.item is None
    [found] = told(resolved, Level.ERROR)
    return found


def url(resolved: Resolved) -> str:
    assert resolved.item is not None
    [replica] = resolved.item.replicas
    return replica.url


# S3


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "https://s3.example/sky/ngc/1365%20b.fits"),
        ({"endpoint": "s3.example:9000/"}, "https://s3.example:9000/sky/ngc/1365%20b.fits"),
        ({"template": "https://{bucket}.{endpoint}/{object}"}, "https://sky.s3.example/ngc/1365%20b.fits"),
        ({"template": "${endpoint}/v2/${bucket}/${object}"}, "https://s3.example/v2/sky/ngc/1365%20b.fits"),
        ({"object": "a?b#c"}, "https://s3.example/sky/a%3Fb%23c"),
    ],
)
def test_the_template_makes_a_url(fields: dict[str, Any], expected: str) -> None:
    assert url(s3(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "ftp://s3.example"}, "endpoint"),
        ({"endpoint": "https://key:secret@s3.example"}, "endpoint"),
        ({"bucket": None}, "bucket"),
        ({"bucket": "a/b"}, "bucket"),
        ({"bucket": "-a"}, "bucket"),
        ({"template": "{endpoint}/{bucket}"}, "template"),
        ({"template": "{endpoint}/{region}/{object}"}, "template"),
        ({"template": "{endpoint}/{object"}, "template"),
        ({"template": "s3://{bucket}/{object}"}, "template"),
        ({"template": "https://key:secret@{bucket}.example/{object}"}, "template"),
    ],
)
@pytest.mark.parametrize("online", [False, True])
def test_what_makes_no_url_is_a_no(fields: dict[str, Any], path: str, online: bool) -> None:
    where, text = refusal(s3(online, **fields))
    assert where == f"/data/0/{path}"
    assert "secret" not in text


def test_a_public_object_is_as_large_as_its_server_says(server: FileServer) -> None:
    found = s3(
        online=True, endpoint=server.url(""), bucket="sky", object="good", template="{endpoint}/{object}"
    )
    assert found.item is not None
    assert found.item.size_bytes == len(CONTENT)
    assert found.item.replicas[0].site_id == "north"
    assert found.notes == ()


def test_an_object_that_is_not_there_is_a_no(server: FileServer) -> None:
    found = s3(online=True, endpoint=server.url(""), object="missing", template="{endpoint}/{object}")
    assert refusal(found)[0] == "/data/0/object"


def test_an_object_that_is_not_public_is_a_no(server: FileServer) -> None:
    found = s3(online=True, endpoint=server.url(""), object="private", template="{endpoint}/{object}")
    where, text = refusal(found)
    assert where == "/data/0/object"
    assert "this broker has no key for it" in text


def test_a_whole_bucket_is_as_large_as_nobody_says_where_nothing_is_fetched() -> None:
    found = s3(object=None)
    assert found.item is not None
    assert found.item.size_bytes is None
    assert told(found, Level.WARN)


# Rucio


def test_rucio_data_is_for_show_only() -> None:
    found = rucio()
    assert found.item is not None
    assert found.item.size_bytes is None
    assert told(found, Level.WARN)
    where, text = refusal(rucio(online=True))
    assert where == "/data/0/rucio"
    assert "skao-data-resource" in text


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"scope": None}, "scope"),
        ({"object": ""}, "object"),
        ({"type": "SHELF"}, "type"),
        ({"endpoint": "rucio.example"}, "endpoint"),
    ],
)
@pytest.mark.parametrize("online", [False, True])
def test_what_rucio_could_not_know_is_a_no(fields: dict[str, Any], path: str, online: bool) -> None:
    assert refusal(rucio(online, **fields))[0] == f"/data/0/rucio/{path}"


# the Virtual Observatory


def test_the_datalink_row_says_where_and_how_much() -> None:
    datalink = {"access_url": "http://south.example/a", "content_length": 7}
    found = ivoa(online=True, datalink=datalink, obscore={"access_url": "http://south.example/b"})
    assert url(found) == "http://south.example/a"
    assert found.item is not None
    assert (found.item.size_bytes, found.item.replicas[0].site_id) == (7, "south")
    assert found.notes == ()


def test_the_server_says_how_much_where_no_row_does(server: FileServer) -> None:
    found = ivoa(online=True, obscore={"access_url": server.url("/good"), "access_format": "image/fits"})
    assert found.item is not None
    assert found.item.size_bytes == len(CONTENT)


def test_an_identifier_alone_is_for_show_only() -> None:
    assert url(ivoa()) == "ivo://example.org/sky?a"
    where, text = refusal(ivoa(online=True))
    assert where == "/data/0/ivoa/ivoid"
    assert "access_url" in text


def test_a_datalink_document_is_not_the_data() -> None:
    row = {
        "access_url": "http://south.example/d",
        "access_format": "application/x-votable+xml; content=datalink",
    }
    assert url(ivoa(obscore=row)) == "ivo://example.org/sky?a"
    assert refusal(ivoa(online=True, obscore=row))[0] == "/data/0/ivoa/obscore/access_url"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"ivoid": None}, "ivoid"),
        ({"ivoid": "doi:10.1/x"}, "ivoid"),
        ({"ivoid": "ivo://"}, "ivoid"),
        ({"ivoid": "ivo://a b"}, "ivoid"),
        (
            {"datalink": {"access_url": "http://south.example/a", "content_length": -1}},
            "datalink/content_length",
        ),
        ({"datalink": {"access_url": "file:///a"}}, "datalink/access_url"),
        ({"datalink": {"error_message": "NotFoundFault: gone"}}, "datalink/error_message"),
        ({"obscore": {"access_url": "ftp://south.example/a"}}, "obscore/access_url"),
    ],
)
@pytest.mark.parametrize("online", [False, True])
def test_what_names_no_data_is_a_no(fields: dict[str, Any], path: str, online: bool) -> None:
    assert refusal(ivoa(online, **fields))[0] == f"/data/0/ivoa/{path}"
