"""What a container wrote comes back from its server through a bucket: whole, once, bounded, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalogues.s3_forms import form
from broker.platforms import (
    PlatformError,
    openstack_results,
    openstack_sending,
    openstack_store,
    results,
)
from broker.platforms.openstack_records import Sent
from broker.platforms.openstack_results import Parcel, Results, checked
from broker.platforms.openstack_sending import SendError, send
from broker.platforms.openstack_store import POST, PUT
from netprobe import mover_file
from tests.cloud.bucket import ResultBucket, a_storage
from tests.cloud.store_front import front
from tests.loopback import Said, serving

JOB, FOLDER, MOST = "job", "job-ab12", 200_000
PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack_store, "PART_BYTES", 64_000)
    monkeypatch.setattr(openstack_results, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(mover_file, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(openstack_sending, "FIRST_PAUSE_SECONDS", 0.02)


def sent(store: openstack_store.ResultStore, tops: Mapping[str, Path]) -> Sent:
    told = store.plan(FOLDER, {name: str(top) for name, top in tops.items()}, MOST)
    return Sent(**send(told, lambda done, size: None))


def parcel(said: Sent, *storages: str) -> Parcel:
    return Parcel(JOB, FOLDER, said, storages or ("out",), MOST)


def end_of(found: Results, wanted: Parcel) -> str:
    end = found.look(wanted, PATIENCE_SECONDS)
    assert end is not None
    return end


def tree(root: Path, name: str = "out") -> dict[str, bytes]:
    there = {}
    for file in results.list_files(root, JOB, name):
        opened = results.open_file(root, JOB, name, file.path)
        assert opened is not None
        with opened:
            there[file.path] = opened.readall()
    return there


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return a_storage(tmp_path / "out")


@pytest.mark.parametrize("upload", [POST, PUT])
def test_what_is_written_comes_back_whole_and_nothing_stays_in_the_store(
    result_bucket: ResultBucket, written: Path, tmp_path: Path, upload: str
) -> None:
    store, root = result_bucket.store(upload=upload), tmp_path / "work"
    other = tmp_path / "other"
    other.mkdir()
    said = sent(store, {"out": written, "other": other})
    assert len(result_bucket.names()) == 4
    assert not tree(root)
    found = Results(root, store)
    assert end_of(found, parcel(said, "out", "other")) == ""
    assert tree(root) == {
        name: (written / name).read_bytes() for name in ("cube.fits", "a/empty", "a/b/ü 1.txt")
    }
    [cube] = [each for each in results.list_files(root, JOB, "out") if each.path == "cube.fits"]
    assert cube.modified.timestamp() == 1e9
    assert results.list_files(root, JOB, "other") == []
    assert [each.name for each in (root / JOB).iterdir()] == ["storage"]
    store.remove(FOLDER, MOST)
    assert result_bucket.names() == []
    # who looks again asks nobody
    assert Results(root, store).look(parcel(said)) == ""


def test_a_store_that_fails_for_a_while_costs_time_alone(
    result_bucket: ResultBucket, written: Path, tmp_path: Path
) -> None:
    failures = {"POST": 3, "GET": 6}

    def fail(method: str, path: str) -> tuple[int, bytes] | None:
        failures[method] = failures.get(method, 0) - 1
        return (503, b"slow down") if failures[method] >= 0 else None

    with front(result_bucket.endpoint) as server:
        store = result_bucket.store(server.url)
        server.before = fail
        said = sent(store, {"out": written})
        assert end_of(Results(tmp_path / "work", store), parcel(said)) == ""
        assert tree(tmp_path / "work")["cube.fits"] == (written / "cube.fits").read_bytes()
        store.remove(FOLDER, MOST)
        # for good
        failures |= {"POST": 10**6, "GET": 10**6}
        with pytest.raises(SendError, match=r"^127.0.0.1:\d+: not sent in time: the store answered 503$"):
            sent(result_bucket.store(server.url, 0.1), {"out": written})
        end = end_of(Results(tmp_path / "again", store, patience_seconds=0.0), parcel(said))
        assert "503" in end
        assert "Signature" not in end
        assert not tree(tmp_path / "again")


def test_a_broker_that_ends_on_the_way_leaves_nothing_half_and_the_next_brings_all(
    result_bucket: ResultBucket, written: Path, tmp_path: Path
) -> None:
    root, reached, go_on = tmp_path / "work", threading.Event(), threading.Event()

    def stall(method: str, path: str) -> None:
        if method == "GET" and path.endswith("/0001") and not reached.is_set():
            reached.set()
            go_on.wait(PATIENCE_SECONDS)

    with front(result_bucket.endpoint) as server:
        store = result_bucket.store(server.url)
        said = sent(store, {"out": written})
        server.before = stall
        first = Results(root, store)
        assert first.look(parcel(said)) is None
        assert reached.wait(PATIENCE_SECONDS)
        assert first.look(parcel(said)) is None
        assert not tree(root)
        # another broker meanwhile
        assert end_of(Results(root, store), parcel(said)) == ""
        whole = tree(root)
        go_on.set()
        # the first one comes too late, and spoils nothing
        assert end_of(first, parcel(said)) == ""
        first.give_up(JOB)
        assert tree(root) == whole
        assert [each.name for each in (root / JOB).iterdir()] == ["storage"]
        store.remove(FOLDER, MOST)


def test_a_broker_without_room_says_so_before_it_fetches(
    result_bucket: ResultBucket, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, root = result_bucket.store(), tmp_path / "work"
    said = sent(store, {"out": written})
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=150_003 + 63_999))
        end = end_of(Results(root, store), parcel(said))
    assert end == "the broker has 214 kB free, and 214 kB are needed to fetch them"
    assert not list((root / JOB).iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage._replace(free=150_003 + 64_000))
        assert end_of(Results(root, store), parcel(said)) == ""
    store.remove(FOLDER, MOST)


def test_results_that_nobody_wants_any_more_stop_coming(
    result_bucket: ResultBucket, written: Path, tmp_path: Path
) -> None:
    with front(result_bucket.endpoint) as server:
        store = result_bucket.store(server.url)
        said = sent(store, {"out": written})
        server.before = lambda method, path: (503, b"")
        found = Results(tmp_path / "work", store)
        assert found.look(parcel(said)) is None
        found.give_up(JOB)
        assert not [each for each in threading.enumerate() if each.name == f"openstack-results-{JOB}"]
        assert not list((tmp_path / "work" / JOB).iterdir())
        server.before = lambda method, path: None
        store.remove(FOLDER, MOST)


def test_more_than_was_offered_is_not_sent(written: Path, result_bucket: ResultBucket) -> None:
    store = result_bucket.store()
    told = store.plan(FOLDER, {"out": str(written)}, 100_000)
    with pytest.raises(SendError, match=r"0\.01 GiB were written into storage, where 9\.31323e-05 GiB"):
        send(told, lambda done, size: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openstack_sending, "FILES_LIMIT", 2)
        with pytest.raises(SendError, match="3 files were written into storage, and 2 can be kept"):
            sent(store, {"out": written})
    assert result_bucket.names() == []


def test_a_server_that_may_not_write_there_says_so(written: Path, result_bucket: ResultBucket) -> None:
    told = result_bucket.store(upload=PUT).plan(FOLDER, {"out": str(written)}, MOST)
    told["parts"][0] = told["parts"][0].replace("Signature=", "Signature=00")
    with pytest.raises(SendError, match=r"^127.0.0.1:\d+: the store answered 403$"):
        send(told, lambda done, size: None)
    # a URL is for its own object alone
    other = urlsplit(told["manifest"])
    moved = other._replace(path=other.path.replace("manifest", "0007")).geturl()
    assert httpx.put(moved, content=b"x", trust_env=False, timeout=PATIENCE_SECONDS).status_code == 403
    assert httpx.get(told["manifest"], trust_env=False, timeout=PATIENCE_SECONDS).status_code == 403


def test_a_server_stores_no_more_than_was_offered_under_no_other_name(result_bucket: ResultBucket) -> None:
    told = result_bucket.store().plan(FOLDER, {}, MOST)
    *whole, last = told["parts"]
    for part, most in (*((each, 64_000) for each in whole), (last, MOST - 64_000 * len(whole))):
        assert _posted(part, b"x" * (most + 1)) == (403, "EntityTooLarge")
        assert _posted(part, b"x" * most)[0] == 204
    assert len(result_bucket.names()) == 4
    assert _posted(told["manifest"], b"x" * (16 * 2**20 + 1)) == (403, "EntityTooLarge")
    # nor anything else
    fields = last["fields"]
    for lie, code in (
        ({"key": "fairlead/other"}, "AccessDenied"),
        ({"policy": whole[0]["fields"]["policy"]}, "SignatureDoesNotMatch"),
        ({"acl": "public-read"}, "AccessDenied"),
        (
            {"x-amz-credential": fields["x-amz-credential"].replace("us-east-1", "eu")},
            "SignatureDoesNotMatch",
        ),
    ):
        assert _posted({**last, "fields": {**fields, **lie}}, b"x") == (403, code), lie
    result_bucket.store().remove(FOLDER, MOST)
    assert result_bucket.names() == []


def test_a_form_s_time_ends(result_bucket: ResultBucket) -> None:
    bucket = result_bucket.store().bucket
    assert bucket.credential is not None
    ago = datetime.now(UTC) - timedelta(seconds=61)
    fields = form(bucket.credential.key(), "us-east-1", bucket.name, "fairlead/a", 9, 60, ago)
    assert _posted({"url": bucket.url(), "fields": fields}, b"x") == (403, "AccessDenied")


def test_a_store_that_points_elsewhere_is_not_followed(written: Path) -> None:
    with serving(lambda asked: Said(303, b"", {"Location": "/elsewhere"})) as server:
        told = {"url": server.origin, "fields": {"key": "a"}}
        with pytest.raises(SendError, match="the store answered 303"):
            openstack_sending._put(told, 1, lambda: [b"x"], time.monotonic())


def _posted(where: Mapping[str, Any], content: bytes) -> tuple[int, str]:
    """The status, and the code of an error."""
    files = {"file": ("part", content, "application/octet-stream")}
    fields = where["fields"]
    said = httpx.post(where["url"], data=fields, files=files, trust_env=False, timeout=PATIENCE_SECONDS)
    return said.status_code, said.text.partition("<Code>")[2].partition("</Code>")[0]


# what a server may say

PART = hashlib.sha256(b"x" * 10).hexdigest()
LIES: dict[str, tuple[Any, str]] = {
    "no JSON": (b"\xff", "can't be read"),
    "other fields": ({"file": []}, "can't be read"),
    "a size that is none": ({"files": [["out", "a", "10", 0]], "parts": []}, "can't be read"),
    "up": ({"files": [["out", "../a", 10, 0]], "parts": [[10, PART]]}, r"path '\.\./a' in 'out'"),
    "absolute": ({"files": [["out", "/etc/a", 10, 0]], "parts": [[10, PART]]}, "path '/etc/a' in 'out'"),
    "zero": ({"files": [["out", "a\0", 10, 0]], "parts": [[10, PART]]}, "path 'a"),
    "long": ({"files": [["out", "a" * 256, 10, 0]], "parts": [[10, PART]]}, "path 'aaaa"),
    "deep": ({"files": [["out", "a/" * 100 + "a", 10, 0]], "parts": [[10, PART]]}, "path 'a/a"),
    "elsewhere": ({"files": [["..", "a", 10, 0]], "parts": [[10, PART]]}, "path 'a' in '..'"),
    "twice": ({"files": [["out", "a", 10, 0]] * 2, "parts": [[20, PART]]}, "two files for the path 'out/a'"),
    "inside": (
        {"files": [["out", "a", 10, 0], ["out", "a/b", 10, 0]], "parts": [[20, PART]]},
        "two files for the path 'out/a/b'",
    ),
    "large": ({"files": [["out", "a", MOST + 1, 0]], "parts": [[MOST + 1, PART]]}, "expected 200 kB at most"),
    "negative": (
        {"files": [["out", "a", -1, 0], ["out", "b", 11, 0]], "parts": [[10, PART]]},
        "expected 200 kB",
    ),
    "many": ({"files": [["out", str(n), 0, 0] for n in range(10_001)], "parts": []}, "10001 files"),
    "parts": ({"files": [["out", "a", 10, 0]], "parts": [[9, PART]]}, "other parts than its files need"),
    "no parts": ({"files": [["out", "a", 10, 0]], "parts": []}, "other parts than its files need"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_server_may_not_say(lie: str) -> None:
    document, expected = LIES[lie]
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(PlatformError, match=expected) as refused:
        checked(raw, parcel(Sent(len(raw), "")))
    assert "\n" not in str(refused.value)


NAMES = st.text(min_size=1, max_size=300)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.just("out"), NAMES, st.integers(-5, 2 * MOST), st.floats())), st.data())
def test_no_manifest_leads_out_of_its_storage(files: list[Any], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.tuples(st.integers(0, MOST), st.just(PART)), max_size=4))
    try:
        manifest = checked(
            json.dumps({"files": files, "parts": parts}).encode(errors="surrogatepass"),
            parcel(Sent(1, "")),
        )
    except PlatformError:
        return
    top = Path("/top/out")
    for _, path, size, _ in manifest.files:
        assert size >= 0
        assert os.path.normpath(top / path).startswith("/top/out/")


def test_a_store_whose_objects_are_not_those_that_were_sent(
    result_bucket: ResultBucket, written: Path, tmp_path: Path
) -> None:
    cases = {
        "manifest": (b"x" * 100, "wrong size: expected"),
        "0000": (b"x" * 64_000, "wrong checksum: expected sha256:"),
        "0001": (b"x" * 64_001, "wrong size: expected 64000 bytes, the server has 64001"),
        "0002": None,
    }
    with front(result_bucket.endpoint) as server:
        store = result_bucket.store(server.url)
        said = sent(store, {"out": written})
        for name, answer in cases.items():
            root = tmp_path / f"work-{name}"
            body, expected = answer or (b"", "404")

            def lie(method: str, path: str, name: str = name, body: bytes = body) -> Any:
                return (200 if body else 404, body) if path.endswith(f"/{name}") else None

            server.before = lie
            end = end_of(Results(root, store), parcel(said))
            assert expected in end, end
            assert "Signature" not in end
            assert not list((root / JOB).iterdir())
        server.before = lambda method, path: None
        store.remove(FOLDER, MOST)
