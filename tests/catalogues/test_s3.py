"""Objects, prefixes and buckets of an S3 service that verifies who asks; what services may answer amiss."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.catalogues import CatalogueError, Resolved
from broker.catalogues.s3 import S3Catalogue
from broker.catalogues.s3_options import chosen, credentials
from broker.catalogues.s3_signing import Key, presigned
from broker.catalogues.s3_store import Bucket, clash
from broker.model import DataItem, Replica
from federation.errors import InputError
from federation.sites import Federation
from tests.catalogues.answering import answering
from tests.catalogues.serving import brought, error, federation, files, over_ssh, resolve, served, staged
from tests.federation.sshd import ssh_server

KIND = "S3-data-resource"
SURVEY = {"one.fits": b"1" * 300, "deep/two + 2~ü.fits": b"2" * 50, "empty": b""}


@dataclass(frozen=True)
class Service:
    endpoint: str
    keys: dict[str, list[str]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served("s3_server.py", tmp_path_factory.mktemp("log") / "s3") as line:
        said = json.loads(line)
        yield Service(f"http://127.0.0.1:{said['port']}", said["keys"])


def with_key(directory: Path, endpoint: str, key: list[str], **more: Any) -> Federation:
    file = directory / "key"
    file.write_text(f"[default]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n")
    return federation({"s3": {"credentials": [{"endpoint": endpoint, "file": str(file), **more}]}})


def look(around: Federation, endpoint: str, **resource: str) -> Resolved:
    return resolve(around, KIND, {"endpoint": endpoint, "bucket": "sky", **resource})


def test_the_signature_is_that_of_amazon_s_own_example() -> None:
    # Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"
    key = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    url = "https://examplebucket.s3.amazonaws.com/test.txt"
    signed = presigned(key, "us-east-1", url, 86400, datetime(2013, 5, 24, tzinfo=UTC))
    expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert parse_qs(urlsplit(signed).query)["X-Amz-Signature"] == [expected]
    assert key.secret not in repr(key)


# what is there


def test_an_object_is_as_large_as_its_store_says_and_comes_whole(service: Service, tmp_path: Path) -> None:
    around = with_key(tmp_path, service.endpoint, service.keys["reader"])
    resolved = look(around, service.endpoint, object="a.fits")
    item = resolved.item
    assert item is not None
    assert (item.size_bytes, item.files, item.unpacked, resolved.notes) == (1000, 1, True, ())
    assert [(one.url, one.site_id) for one in item.replicas] == [(f"{service.endpoint}/sky/a.fits", "north")]
    path, moved = staged(around, tmp_path / "site", replace(item, kind=KIND))
    assert path.read_bytes() == b"a" * 1000
    assert "Signature" not in repr(moved)


def test_a_prefix_is_a_folder(service: Service, tmp_path: Path) -> None:
    around = with_key(tmp_path, service.endpoint, service.keys["reader"])
    item = look(around, service.endpoint, object="survey/").item
    assert item is not None
    assert (item.size_bytes, item.files, item.unpacked) == (350, 3, True)
    folder, moved = staged(around, tmp_path / "site", replace(item, kind=KIND))
    assert (folder / "one.fits").read_bytes() == SURVEY["one.fits"]
    found = {path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == set(SURVEY.values())
    assert "Signature" not in repr(moved)


def test_over_ssh_objects_come_by_urls_that_are_signed(service: Service, tmp_path: Path) -> None:
    keys = with_key(tmp_path, service.endpoint, service.keys["reader"]).catalogues
    with ssh_server(tmp_path) as server:
        around = over_ssh(server, tmp_path / "site", dict(keys))
        item = look(around, service.endpoint, object="survey/").item
        assert item is not None
        found, moved = brought(around, tmp_path / "site", replace(item, kind=KIND))
    assert sorted(found.values()) == sorted(SURVEY.values())
    assert "Signature" not in moved


def test_a_bucket_of_more_than_a_page_is_listed_whole(service: Service, tmp_path: Path) -> None:
    around = with_key(tmp_path, service.endpoint, service.keys["reader"])
    resolved = look(around, service.endpoint, bucket="many")
    assert resolved.item is not None
    assert (resolved.item.files, resolved.item.size_bytes) == (1005, 2010)
    assert resolved.item.replicas[0].url == f"{service.endpoint}/many/"
    assert [each.path for each in files(around, KIND, resolved)] == [f"{n:05}" for n in range(1005)]


@pytest.mark.parametrize(
    ("who", "resource", "kind", "said"),
    [
        ("reader", {"object": "none"}, "data-not-found", "no such object in"),
        ("reader", {"object": "none/"}, "data-not-found", "no object of sky begins with 'none/'"),
        ("reader", {"bucket": "empty"}, "data-not-found", "is empty"),
        ("reader", {"bucket": "nob", "object": "a"}, "data-not-found", "there is no bucket nob"),
        ("reader", {"bucket": "nob"}, "data-not-found", "there is no bucket nob"),
        ("reader", {"object": "clash/"}, "data-type", "can't lie in one folder: 'a/b'"),
        ("reader", {"object": "twice/"}, "data-type", "can't lie in one folder: 'a/b'"),
        ("blind", {"object": "survey/"}, "data-not-public", "may not list what is in it"),
        ("nobody", {"object": "a.fits"}, "data-not-public", "may not read it, or it isn't there"),
        ("wrong", {"object": "a.fits"}, "catalogue-failed", "the secret key is another"),
        ("wrong", {"object": "survey/"}, "catalogue-failed", "the secret key is another"),
        ("unknown", {"object": "a.fits"}, "catalogue-failed", "doesn't know this broker's access key"),
        ("none", {"object": "a.fits"}, "data-not-public", "this broker has no key for it"),
        ("none", {"object": "survey/"}, "data-not-public", "this broker has no access key for it"),
    ],
)
def test_what_is_not_to_be_had_is_said(
    service: Service, tmp_path: Path, who: str, resource: dict[str, str], kind: str, said: str
) -> None:
    keys = {**service.keys, "wrong": [service.keys["reader"][0], "s3cret"], "unknown": ["AKIA", "s3cret"]}
    around = federation() if who == "none" else with_key(tmp_path, service.endpoint, keys[who])
    found = error(look(around, service.endpoint, **resource))
    assert found[0] == kind
    assert said in found[1]
    assert not any(word in found[1] for word in ("s3cret", "Signature=", keys["reader"][1]))


# keys


def test_a_signature_is_good_for_as_long_as_is_waited_and_no_longer_than_s3_allows(tmp_path: Path) -> None:
    around = with_key(tmp_path, "http://127.0.0.1:1", ["id", "s3cret"])
    url = "http://127.0.0.1:1/sky/a"
    item = DataItem("u", "a", 1, (Replica(url, "north"),), unpacked=True, endpoint="http://127.0.0.1:1")
    for seconds, expected in ((900.0, "1800"), (3e6, "604800")):
        [file] = S3Catalogue(around, True).files(item, around["north"], seconds)
        query = parse_qs(urlsplit(file.replicas[0].url).query)
        assert query["X-Amz-Expires"] == [expected]


def test_the_most_special_key_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"ALL": {}, "SKY": {"bucket": "sky"}, "NORTH": {"site": "north"}}
    names["BOTH"] = {"bucket": "sky", "site": "north"}
    entries = [
        {"endpoint": "https://a.example/", "environment": name, **more} for name, more in names.items()
    ]
    for name in names:
        monkeypatch.setenv(f"{name}_ACCESS_KEY_ID", name)
        monkeypatch.setenv(f"{name}_SECRET_ACCESS_KEY", "s3cret")
    known = credentials(federation({"s3": {"credentials": entries}}))

    def taken(*asked: str | None) -> str | None:
        found = chosen(known, *asked)  # type: ignore[arg-type]
        return found.key().key_id if found else None

    assert taken("https://a.example", "sky") == "SKY"
    assert taken("https://a.example", "sea") == "ALL"
    assert taken("https://a.example", "sky", "north") == "BOTH"
    assert taken("https://a.example", "sea", "north") == "NORTH"
    assert taken("https://a.example", "sky", "south") == "SKY"
    assert taken("https://b.example", "sky") is None


@pytest.mark.parametrize(
    "content", ["", "[default]\naws_access_key_id = a\n", "no ini", "[default]\naws_acc"]
)
def test_a_file_without_a_key_is_said(tmp_path: Path, content: str) -> None:
    around = with_key(tmp_path, "http://127.0.0.1:1", ["a", "b"])
    (tmp_path / "key").write_text(content)
    for resource in ({"object": "a"}, {"object": "a/"}):
        kind, text = error(look(around, "http://127.0.0.1:1", **resource))
        assert kind == "catalogue-failed"
        assert text.endswith("this broker's file holds no access key for http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"endpoint": "http://s3.example", "environment": "A"}, "endpoint: expected a URL that begins with"),
        ({"endpoint": "https://s3.example"}, "expected file or environment"),
        (
            {"endpoint": "https://s3.example", "environment": "A", "file": "/a"},
            "expected file or environment",
        ),
        ({"endpoint": "https://s3.example", "environment": "A", "addressing": "dns"}, "path or virtual"),
        (
            {"endpoint": "https://s3.example", "environment": "A", "site": "west"},
            "site: expected one of north",
        ),
        ({"endpoint": "https://s3.example", "secret": "s", "environment": "A"}, "unknown secret"),
        ({"environment": "A"}, "endpoint: expected a text, but it is missing"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(entry: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        credentials(federation({"s3": {"credentials": [entry]}}))


def test_nobody_sees_a_signature_on_a_command_line(tmp_path: Path) -> None:
    seen: list[str] = []

    def lines() -> None:
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.append(line.read_text(errors="replace"))
            except OSError:
                continue

    with answering() as server:
        server.on_request = lines
        server.answers["/sky/a"] = (200, {}, b"x")
        around = with_key(tmp_path, server.url(""), ["AKIAKEY", "s3cret"])
        assert look(around, server.url(""), object="a").item is not None
        assert "X-Amz-Signature" in server.asked[0][1]
    ours = [line for line in seen if "netprobe.mover" in line]
    assert ours
    assert not any("AKIAKEY" in line or "Signature" in line for line in ours)


# addresses


@given(st.text(min_size=1).filter(lambda key: not key.startswith("/")), st.sampled_from(["path", "virtual"]))
def test_a_url_gives_its_key_back(key: str, addressing: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    bucket = Bucket("https://s3.example:9000", "sky", addressing, None)
    url = bucket.url(key)
    assert bucket.key_of(url) == key
    assert url.startswith(
        "https://s3.example:9000/sky/" if addressing == "path" else "https://sky.s3.example:9000/"
    )


PATHS = st.lists(st.text("ab/", min_size=1, max_size=6), max_size=6)


@given(PATHS)
def test_what_does_not_clash_can_be_written(paths: list[str]) -> None:
    root: dict[str, Any] = {}
    can = True
    for path in sorted(paths, key=len):
        *folders, name = [part for part in path.split("/") if part] or [""]
        place: Any = root
        for folder in folders:
            place = place.setdefault(folder, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name in place or not name:
            can = False
            break
        place[name] = "file"
    assert (clash(paths) is None) == can


def test_a_template_chooses_between_the_two_ways_and_others_list_nothing(tmp_path: Path) -> None:
    around = federation()
    resource = {"endpoint": "https://s3.example", "bucket": "sky"}
    found = resolve(around, KIND, {**resource, "template": "{endpoint}/v2/{bucket}/{object}"})
    assert error(found)[0] == "data-type"


# what services may answer amiss


def listing(*keys: str, more: str = "") -> bytes:
    entries = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    return f"<ListBucketResult>{entries}{more}</ListBucketResult>".encode()


MORE = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
BOMB = b'<!DOCTYPE m [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>'


def code(name: str) -> bytes:
    return f"<Error><Code>{name}</Code></Error>".encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "said"),
    [
        (200, {}, BOMB, "catalogue-failed", "is no list of objects"),
        (200, {}, b"<html></html>", "catalogue-failed", "is no list of objects"),
        (200, {}, b"{}", "catalogue-failed", "is no list of objects"),
        (200, {"Content-Length": "9999"}, listing("p/a"), "catalogue-failed", "is no list of objects"),
        (200, {}, listing("q/a"), "catalogue-failed", "lists what wasn't asked for"),
        (200, {}, listing("p/a", more=MORE), "catalogue-failed", "doesn't come to an end"),
        (200, {}, listing(*(f"p/{n}" for n in range(10_001))), "resource-limit", "at most 10000"),
        (301, {}, code("PermanentRedirect"), "catalogue-failed", "in another region or at another endpoint"),
        (403, {}, code("ExpiredToken"), "catalogue-failed", "temporary access key has ended"),
        (403, {}, code("RequestTimeTooSkewed"), "catalogue-failed", "clock"),
        (403, {}, b"", "data-not-public", "403"),
        (401, {}, b"", "data-not-public", "401"),
        (404, {}, code("NoSuchBucket"), "data-not-found", "there is no bucket sky"),
        (503, {}, code("SlowDown"), "catalogue-failed", "asked too often"),
        (500, {}, b"<Error><Code>a\nb</Code></Error>", "catalogue-failed", "500"),
    ],
)
def test_an_answer_that_is_no_listing_is_said(
    tmp_path: Path, status: int, headers: dict[str, str], body: bytes, kind: str, said: str
) -> None:
    with answering() as server, answering() as other:
        moved = {"Location": other.url("/sky")} if status == 301 else {}
        server.answers["/sky"] = (status, {**headers, **moved}, body)
        around = with_key(tmp_path, server.url(""), ["AKIA", "s3cret"])
        found = error(look(around, server.url(""), object="p/"))
        # who signs follows nobody elsewhere
        assert other.asked == []
    assert found[0] == kind
    assert said in found[1]


def test_what_vanishes_before_it_is_moved_is_said(tmp_path: Path) -> None:
    with answering() as server:
        server.answers["/sky"] = (200, {}, listing("p/a"))
        around = with_key(tmp_path, server.url(""), ["AKIA", "s3cret"])
        resolved = look(around, server.url(""), object="p/")
        server.answers["/sky"] = (404, {}, code("NoSuchBucket"))
        with pytest.raises(CatalogueError, match="there is no bucket sky"):
            files(around, KIND, resolved)


def test_a_service_that_says_nothing_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.catalogues.s3.RESOLVE_SECONDS", 1.0)
    with answering() as server:
        server.silent = True
        around = with_key(tmp_path, server.url(""), ["AKIA", "s3cret"])
        begun = time.monotonic()
        kind, text = error(look(around, server.url(""), object="a"))
        assert time.monotonic() - begun < 30
    assert kind == "catalogue-failed"
    assert "s3cret" not in text


def test_no_address_is_asked_that_is_not_allowed(tmp_path: Path) -> None:
    with answering() as server:
        around = replace(with_key(tmp_path, server.url(""), ["AKIA", "s3cret"]), sites={})
        kind, text = error(look(around, server.url(""), object="p/"))
        assert server.asked == []
    assert kind == "data-not-found"
    assert "no public address" in text
