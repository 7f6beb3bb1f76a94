"""Many files by one mover: how many at a time, over how many connections, and what is left when it ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from federation.errors import InputError
from federation.hosts import LocalHost
from netprobe import mover_batch
from netprobe.mover_file import File
from netprobe.mover_http import MoverError
from netprobe.tools import transfer
from tests.netprobe.servers import KeptServer, file_server, kept_server, loopback_test
from tests.waiting import SECONDS, until

drawn = random.Random(3)
CONTENTS = {f"/{number}": drawn.randbytes(drawn.randint(0, 300_000)) for number in range(20)}


def wanted(server: KeptServer, directory: Path, **more: Any) -> list[File]:
    return [
        File(
            server.url(path),
            str(directory / path[1:]),
            len(content),
            f"sha256:{hashlib.sha256(content).hexdigest()}",
            **more,
        )
        for path, content in server.files.items()
    ]


def test_all_arrive_over_as_many_connections_as_there_are_workers(tmp_path: Path) -> None:
    with kept_server(CONTENTS) as server:
        batch = mover_batch.fetch_all(wanted(server, tmp_path, group="a"), None, workers=3)
        assert server.connections <= 3
    for path, content in CONTENTS.items():
        assert (tmp_path / path[1:]).read_bytes() == content
    assert len(list(tmp_path.iterdir())) == len(CONTENTS)
    assert [done.size_bytes for done in batch.files] == [len(content) for content in CONTENTS.values()]
    assert {done.verified for done in batch.files} == {"sha256"}
    assert batch.groups["a"].files == len(CONTENTS)
    assert batch.groups["a"].size_bytes == sum(map(len, CONTENTS.values()))
    assert 0 < batch.groups["a"].seconds <= batch.seconds


def test_the_workers_of_each_group_are_bounded_and_groups_go_beside_each_other(tmp_path: Path) -> None:
    contents = dict(list(CONTENTS.items())[:8])
    with kept_server(contents) as one, kept_server(contents) as two:
        (tmp_path / "b").mkdir()
        files = [*wanted(one, tmp_path, group="a"), *wanted(two, tmp_path / "b", group="b")]
        for server in (one, two):
            server.gate.clear()
        with subprocess.Popen(
            [sys.executable, "-m", "netprobe.mover", "fetch-all", _listed(tmp_path, files), "--workers", "2"],
            stdout=subprocess.PIPE,
        ) as child:
            for server in (one, two):
                for _ in range(2):
                    assert server.counted.acquire(timeout=300)
            for server in (one, two):
                server.gate.set()
            assert child.wait(300) == 0
        assert one.together == two.together == 2


def test_the_largest_go_first_and_those_of_unknown_size_before_them() -> None:
    assert mover_batch.in_order([(0, 5), (1, None), (2, 9), (3, 5)]) == [1, 2, 0, 3]


def test_a_connection_that_the_server_has_closed_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with kept_server(CONTENTS, answers=3) as server:
        batch = mover_batch.fetch_all(wanted(server, tmp_path), None, workers=1)
        assert server.connections == 7
    assert {done.attempts for done in batch.files} == {1}


def test_one_that_is_missing_ends_all_and_what_is_done_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    with kept_server(CONTENTS) as server:
        files = [*wanted(server, tmp_path / "to"), File(server.url("/none"), str(tmp_path / "to" / "none"))]
        # as a process, whose threads end with it
        command = [sys.executable, "-m", "netprobe.mover", "fetch-all", _listed(tmp_path, files)]
        end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 3
    assert "/none: the server answered 404" in json.loads(end.stdout.splitlines()[-1])["error"]
    for path in (tmp_path / "to").iterdir():
        assert path.read_bytes() == CONTENTS["/" + path.name]


def test_one_that_is_missing_leaves_no_half_of_others_where_all_files_have_names(tmp_path: Path) -> None:
    program = (
        "from netprobe import mover, mover_file; mover_file.UNNAMED = False; raise SystemExit(mover.main())"
    )
    (tmp_path / "to").mkdir()
    with kept_server({}) as none, file_server(b"x" * 400_000) as stalls:
        none.gate.clear()
        urls = [none.url("/none"), stalls.url("/stalled")]
        files = [File(url, str(tmp_path / "to" / f"{number}")) for number, url in enumerate(urls)]
        command = [sys.executable, "-c", program, "fetch-all", _listed(tmp_path, files)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert stalls.reached.wait(300)
            until(lambda: len(list((tmp_path / "to").iterdir())) == 2, "two files that are begun")
            none.gate.set()
            assert child.wait(300) == 3
    assert list((tmp_path / "to").iterdir()) == []


def _listed(directory: Path, files: list[File]) -> str:
    path = directory / "list"
    path.write_text(json.dumps(mover_batch.document(files)))
    return str(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_whoever_ends_it_finds_whole_files_alone(tmp_path: Path, number: signal.Signals) -> None:
    with kept_server(dict(list(CONTENTS.items())[:4])) as good, file_server(b"x" * 400_000) as bad:
        (tmp_path / "to").mkdir()
        stalled = [File(bad.url("/stalled"), str(tmp_path / "to" / f"s{n}"), group="bad") for n in range(3)]
        command = [sys.executable, "-m", "netprobe.mover", "fetch-all"]
        command.append(_listed(tmp_path, [*wanted(good, tmp_path / "to", group="good"), *stalled]))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = [json.loads(child.stdout.readline()) for _ in range(1)]
            while sum(line["event"] == "file" for line in said) < 4:
                said.append(json.loads(child.stdout.readline()))
            assert bad.reached.wait(300)
            child.send_signal(number)
            assert child.wait(300) == (-number if number == signal.SIGKILL else 128 + number)
    left = {path.name: path.read_bytes() for path in (tmp_path / "to").iterdir()}
    assert left == {path[1:]: content for path, content in good.files.items()}


def test_a_file_system_without_unnamed_files_is_left_clean_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netprobe.mover_file.UNNAMED", False)
    with kept_server(CONTENTS) as server:
        files = wanted(server, tmp_path)
        mover_batch.fetch_all(files[:3], None)
        wrong = File(files[3].url, files[3].path, None, "sha256:" + "0" * 64)
        with pytest.raises(MoverError, match="wrong checksum"):
            mover_batch.fetch_all([wrong], None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_what_cancels_leaves_no_mover(tmp_path: Path) -> None:
    with file_server(b"x" * 400_000) as server:

        async def cancelled() -> None:
            files = [File(server.url("/stalled"), str(tmp_path / f"{n}")) for n in range(3)]
            work = asyncio.create_task(transfer.fetch_all(LocalHost(), files))
            assert await asyncio.to_thread(server.reached.wait, 60)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work

        asyncio.run(cancelled())
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_the_bytes_of_all(tmp_path: Path) -> None:
    with kept_server(CONTENTS) as server:
        seen: list[int] = []
        work = transfer.fetch_all(LocalHost(), wanted(server, tmp_path), seen.append)
        batch = asyncio.run(work)
    assert seen == sorted(seen)
    assert all(size <= sum(map(len, CONTENTS.values())) for size in seen)
    assert [moved.path for moved in batch.files] == [tmp_path / path[1:] for path in CONTENTS]


def test_a_list_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "list").write_text('[{"link": 1}]')
    command = [sys.executable, "-m", "netprobe.mover", "fetch-all", str(tmp_path / "list")]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 3
    assert "expected a list of files" in json.loads(end.stdout)["error"]


# S3

BODY = b"an object" * 1000
MD5 = hashlib.md5(BODY).hexdigest()
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
OTHER = base64.b64encode(hashlib.sha256(b"").digest()).decode()
ID = {"x-amz-request-id": "1"}


@pytest.mark.parametrize(
    ("headers", "verified"),
    [
        ({**ID, "x-amz-checksum-sha256": SHA256, "ETag": '"x"'}, "store-sha256"),
        ({**ID, "ETag": f'"{MD5}"'}, "store-md5"),
        ({**ID, "ETag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, "store-md5"),
        # of parts, or encrypted: no checksum of the object
        ({**ID, "ETag": f'"{"0" * 32}-4"'}, "size"),
        ({**ID, "x-amz-checksum-sha256": OTHER[:-1] + "-2", "ETag": '"x"'}, "size"),
        ({**ID, "x-amz-checksum-sha256": OTHER, "x-amz-checksum-type": "COMPOSITE"}, "size"),
        ({**ID, "ETag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"}, "size"),
        # not S3: a tag is a tag
        ({"ETag": f'"{"0" * 32}"'}, "size"),
    ],
)
def test_an_object_is_verified_by_what_its_store_says(
    tmp_path: Path, headers: dict[str, str], verified: str
) -> None:
    with kept_server({"/bucket/key": BODY}) as server:
        server.extra["/bucket/key"] = headers
        file = File(server.url("/bucket/key"), str(tmp_path / "key"), s3=True)
        [done] = mover_batch.fetch_all([file], None).files
        assert done.verified == verified
        assert server.asked[0][1]["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.parametrize("headers", [{**ID, "x-amz-checksum-sha256": OTHER}, {**ID, "ETag": f'"{"0" * 32}"'}])
def test_an_object_that_is_not_what_its_store_says_is_not_taken(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    with kept_server({"/bucket/key": BODY}) as server:
        server.extra["/bucket/key"] = headers
        file = File(server.url("/bucket/key"), str(tmp_path / "key"), s3=True)
        with pytest.raises(MoverError, match=r"wrong checksum: the store says (sha256|md5):"):
            mover_batch.fetch_all([file], None)
    assert list(tmp_path.iterdir()) == []


def test_a_signed_url_gets_no_header_that_its_signature_lacks(tmp_path: Path) -> None:
    with kept_server({"/bucket/key": BODY}) as server:
        url = server.url("/bucket/key?X-Amz-Signature=s3cret")
        [done] = mover_batch.fetch_all([File(url, str(tmp_path / "key"), s3=True)], None).files
        assert "x-amz-checksum-mode" not in server.asked[0][1]
        assert server.asked[0][0].endswith("s3cret")
        assert "s3cret" not in str(done)


def test_the_transfer_tool_takes_an_object_by_its_bucket(tmp_path: Path) -> None:
    with kept_server({"/bucket/a%20key/x": BODY}) as server:
        server.extra["/bucket/a%20key/x"] = {**ID, "x-amz-checksum-sha256": SHA256}
        given = {"url": "s3://bucket/a key/x", "endpoint": server.url("/"), "path": str(tmp_path / "key")}
        found = asyncio.run(transfer.Transfer().run(loopback_test(0, SECONDS, **given)))
    assert found.error is None
    assert found.raw is not None
    assert found.raw["verified"] == "store-sha256"
    assert (tmp_path / "key").read_bytes() == BODY


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "s3://bucket/key"}, "expected the URL of the S3 service of s3://bucket/key"),
        ({"url": "s3://bucket/key", "endpoint": "minio"}, "got 'minio'"),
        ({"url": "s3://bucket", "endpoint": "https://s3.example.org"}, "expected s3://bucket/object"),
    ],
)
def test_an_object_without_its_service_or_its_name_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        transfer.Transfer().check(given)
