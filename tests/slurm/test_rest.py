"""slurmrestd's faults, and versions of its interface that no package here speaks: as the test answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from broker.platforms import PlatformError, Unreachable
from broker.platforms.slurm_options import slurm_options
from broker.platforms.slurm_rest import Rest, read_job
from broker.platforms.slurm_scheduler import Batch
from federation.clock import SystemClock
from federation.errors import InputError
from federation.sites import Place, Site, Space
from federation.sites import Platform as SitePlatform
from reservations.calendar import MEMORY_MB, VCPU
from reservations.sources import load_source
from reservations.sources.slurm_rest import RestOptions, SlurmRest
from tests.slurm.stand import Stand, refused, token

NAME = "fairlead-12345678-1234-1234-1234-123456789012"


def half(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"jobs": [')
    handler.close_connection = True


def slow(handler: BaseHTTPRequestHandler) -> None:
    """A minute of blanks: whoever hears it out has nothing that can be read."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1200):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.05)


FAULTS: list[tuple[tuple[int, Any], str]] = [
    ((401, b"Authentication failure"), "doesn't take our token for the user fairlead: it may be another"),
    ((403, b"Forbidden"), "fails with status 403: Forbidden"),
    ((429, b""), "fails with status 429"),
    ((500, refused("Failed while looking for jobs", "Unspecified error")), "fails with status 500: Failed"),
    ((503, b"<html><h1>Service Unavailable</h1></html>"), "fails with status 503"),
    ((302, b""), "fails with status 302"),
    ((200, b"<html>a page for people to sign in</html>"), "can't be read: expected a JSON object"),
    ((200, [1, 2]), "can't be read: expected a JSON object"),
    ((200, {"jobs": "none"}), "can't be read: expected a list of jobs"),
    ((200, {"jobs": ["a job"]}), "can't be read: expected a list of jobs"),
    ((200, {"jobs": [{"name": NAME}]}), "can't be read: a job without number or state"),
    ((200, {"jobs": [], **refused("slurm_load_jobs", "Socket timed out")}), "fails: slurm_load_jobs: Socket"),
    ((200, half), "can't be asked: "),
    ((404, b"Unable find requested URL."), "doesn't know what it was asked for with status 404"),
]


@pytest.mark.parametrize(("answer", "said"), FAULTS)
def test_faults_say_nothing_of_what_was_asked_about(stand: Stand, answer: tuple[int, Any], said: str) -> None:
    stand.versions(38)
    stand.answers["GET /slurm/v0.0.38/jobs"] = answer
    with pytest.raises(Unreachable) as caught:
        stand.jobs()
    text = str(caught.value)
    assert said in text
    assert "slurmrestd" in text
    assert "\n" not in text


def test_an_answer_that_takes_too_long_is_given_up(stand: Stand) -> None:
    stand.versions(38)
    stand.answers["GET /slurm/v0.0.38/jobs"] = 200, slow
    with pytest.raises(Unreachable, match=r"timed out|its answer takes too long"):
        asyncio.run(Rest(stand.client(0.3), {}).jobs())


def test_one_that_is_gone_is_unreachable(stand: Stand, tmp_path: Path) -> None:
    gone = SlurmRest("perth", RestOptions(f"unix:{tmp_path}/none", "fairlead", stand.token_file), 1.0)
    with pytest.raises(
        Unreachable, match=r"site perth: slurmrestd at unix:.* can't be asked: .*No such file"
    ):
        asyncio.run(Rest(gone, {}).jobs())


def test_a_token_that_has_expired_is_named_and_a_new_one_is_read(stand: Stand) -> None:
    stand.versions(38)
    stand.answers["GET /slurm/v0.0.38/jobs"] = 500, refused("Failed", "Unspecified error")
    stand.token_file.write_text(token(timedelta(seconds=-60)))
    client = stand.client()
    with pytest.raises(Unreachable, match=r"doesn't take our token: it expired at 2"):
        asyncio.run(Rest(client, {}).jobs())
    new = token(timedelta(hours=2))
    stand.token_file.write_text(f"{new}\n")
    stand.answers["GET /slurm/v0.0.38/jobs"] = 200, {"jobs": []}
    assert asyncio.run(Rest(client, {}).jobs()) == {}
    assert stand.asked[-1][1]["X-SLURM-USER-TOKEN"] == new
    stand.token_file.write_text("")
    with pytest.raises(Unreachable, match=r"isn't asked: .*/token holds no token"):
        asyncio.run(Rest(client, {}).jobs())
    stand.token_file.write_text("the-password")
    with pytest.raises(
        Unreachable, match=r"isn't asked: .*/token holds no JWT: expected what `scontrol token`"
    ):
        asyncio.run(Rest(client, {}).jobs())
    stand.token_file.unlink()
    with pytest.raises(Unreachable, match="isn't asked: the token can't be read from"):
        asyncio.run(Rest(client, {}).jobs())


def test_a_token_that_comes_back_in_an_error_is_not_told_on(stand: Stand, tmp_path: Path) -> None:
    stand.versions(38)
    secret = token(timedelta(hours=1))
    stand.answers["POST /slurm/v0.0.38/job/submit"] = 400, refused("Bad", f"X-SLURM-USER-TOKEN: {secret}")
    (tmp_path / "job.sh").write_text("#!/bin/sh\n")
    batch = Batch(NAME, "", tmp_path / "job.sh", tmp_path / "out", 1, 1, 1)
    stand.token_file.write_text(secret)
    with pytest.raises(
        PlatformError, match=r"refuses with status 400: Bad: X-SLURM-USER-TOKEN: \*\*\*"
    ) as caught:
        asyncio.run(Rest(stand.client(), {}).submit(batch))
    assert not isinstance(caught.value, Unreachable)
    assert secret not in repr(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize(
    ("spoken", "used"), [((36, 37, 38), 38), ((39, 40, 41), 41), ((44, 45, 46), 45), ((36,), 36)]
)
def test_the_newest_version_that_both_know_is_spoken(
    stand: Stand, spoken: tuple[int, ...], used: int
) -> None:
    stand.versions(*spoken)
    stand.answers[f"GET /slurm/v0.0.{used}/jobs"] = 200, {"jobs": []}
    client = stand.client()
    for _ in range(2):
        assert asyncio.run(Rest(client, {}).jobs()) == {}
    assert [path for path, *_ in stand.asked].count("GET /openapi/v3") == 1


def test_versions_that_nobody_here_knows_are_named(stand: Stand) -> None:
    stand.versions(60)
    with pytest.raises(Unreachable, match=r"speaks v0\.0\.60: expected one of v0\.0\.36 to v0\.0\.45"):
        stand.jobs()


def test_another_release_that_comes_up_is_asked_anew(stand: Stand) -> None:
    stand.versions(38)
    client = stand.client()
    with pytest.raises(Unreachable):
        asyncio.run(Rest(client, {}).jobs())
    stand.versions(40, 41)
    stand.answers["GET /slurm/v0.0.41/jobs"] = 200, {"jobs": []}
    assert asyncio.run(Rest(client, {}).jobs()) == {}


def numeral(number: int) -> Mapping[str, Any]:
    return {"set": True, "infinite": False, "number": number}


def test_newer_versions_get_lists_and_numbers_that_are_set(stand: Stand, tmp_path: Path) -> None:
    stand.versions(40)
    stand.answers["POST /slurm/v0.0.40/job/submit"] = 200, {"job_id": 7, "errors": []}
    (tmp_path / "job.sh").write_text("#!/bin/sh\n")
    batch = Batch(NAME, "fairlead:x", tmp_path / "job.sh", tmp_path / "out", 2, 1024, 5, account="skao")
    asyncio.run(Rest(stand.client(), {"exclusive": ["true"]}).submit(batch))
    sent = json.loads(stand.asked[-1][2])
    assert sent["script"] == "#!/bin/sh\n"
    assert sent["job"] == {
        "name": NAME,
        "comment": "fairlead:x",
        "current_working_directory": str(tmp_path),
        "standard_output": str(tmp_path / "out"),
        "tasks": 1,
        "cpus_per_task": 2,
        "dependency": "singleton",
        "environment": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "memory_per_node": numeral(1024),
        "time_limit": numeral(5),
        "nodes": "1",
        "requeue": False,
        "account": "skao",
        "exclusive": ["true"],
    }


JOBS: list[tuple[Mapping[str, Any], tuple[str, int | None]]] = [
    ({"job_state": ["RUNNING"], "exit_code": {"return_code": numeral(0)}}, ("RUNNING", None)),
    ({"job_state": ["CANCELLED", "COMPLETING"]}, ("COMPLETING", None)),
    ({"job_state": ["FAILED"], "exit_code": {"return_code": numeral(7)}}, ("FAILED", 7)),
    ({"job_state": "FAILED", "exit_code": {"return_code": 7, "status": "ERROR"}}, ("FAILED", 7)),
    (
        {
            "job_state": ["FAILED"],
            "exit_code": {"return_code": numeral(0), "signal": {"id": numeral(9), "name": "KILL"}},
        },
        ("FAILED", 137),
    ),
    ({"job_state": "FAILED", "exit_code": {"return_code": 0, "signal": {"signal_id": 15}}}, ("FAILED", 143)),
    ({"job_state": "FAILED", "exit_code": 1792}, ("FAILED", 7)),
    ({"job_state": "FAILED", "exit_code": "?"}, ("FAILED", None)),
]


@pytest.mark.parametrize(("document", "expected"), JOBS)
def test_jobs_of_all_versions_are_understood(
    document: Mapping[str, Any], expected: tuple[str, int | None]
) -> None:
    found = read_job({"job_id": 7, "state_reason": "None", "nodes": "", "start_time": numeral(0), **document})
    assert (found.state, found.exit_code) == expected
    assert (found.node, found.reason, found.start) == (None, None, None)


def test_a_job_of_somebody_else_with_our_name_is_none_of_ours(stand: Stand) -> None:
    stand.versions(38)
    jobs = [{"job_id": 3, "name": NAME, "job_state": "RUNNING", "user_name": "eve"}]
    stand.answers["GET /slurm/v0.0.38/jobs"] = 200, {"jobs": jobs}
    assert stand.jobs() == {}


def test_a_calendar_of_a_newer_version_has_what_is_planned(stand: Stand) -> None:
    stand.versions(40)
    now = int(datetime.now(UTC).timestamp())
    node = {"cpus": 4, "threads": 1, "real_memory": 8000, "active_features": ["ssd", "gpu"], "gres": ""}
    documents = {
        "nodes": [
            {"name": "n1", "state": ["IDLE"], **node},
            {"name": "n2", "state": ["IDLE", "DRAIN"], **node},
        ],
        "partitions": [
            {
                "name": "batch",
                "nodes": {"configured": "n[1-2]"},
                "maximums": {
                    "time": numeral(60),
                    "cpus_per_node": {"set": False, "infinite": True, "number": 0},
                },
                "partition": {"state": ["UP"]},
            }
        ],
        "reservations": [],
        "jobs": [
            {
                "job_id": 5,
                "name": "x",
                "job_state": ["PENDING"],
                "start_time": numeral(now + 600),
                "scheduled_nodes": "n1",
                "time_limit": numeral(10),
                "cpus": numeral(2),
                "tres_req_str": "cpu=2,mem=1000M",
                "partition": "batch",
            }
        ],
    }
    for what, found in documents.items():
        stand.answers[f"GET /slurm/v0.0.40/{what}"] = 200, {what: found, "errors": [], "warnings": []}
    site = Site("perth", "Perth", Place(0, 0))
    options = {"rest_url": stand.url, "rest_token_file": str(stand.token_file), "rest_user": "fairlead"}
    start = datetime.now(UTC)
    source = load_source(site, Space("slurm", options), SystemClock())
    (calendar,) = source.calendars(start, start + timedelta(days=1))
    assert [(host.id, host.bookable, host.amounts[VCPU]) for host in calendar.hosts] == [
        ("n1", True, 4),
        ("n2", False, 4),
    ]
    assert calendar.hosts[0].properties["ssd"] == "True"
    assert calendar.rules.longest == timedelta(hours=1)
    [taken] = calendar.taken
    assert (taken.host, taken.amounts) == ("n1", {VCPU: 2, MEMORY_MB: 1000, "PGPU": 0})
    assert taken.start == datetime.fromtimestamp(now + 600, UTC)


WRONG: list[tuple[Mapping[str, Any], str]] = [
    ({"rest_url": "http://slurm.perth.example:6820"}, "'rest_url': expected https://HOST:PORT"),
    ({"rest_url": "unix:socket"}, "'rest_url': expected unix:/PATH"),
    ({"rest_url": "https://x", "rest_token_file": "jwt"}, "'rest_token_file': expected an absolute path"),
    ({"rest_url": "https://x"}, "'rest_token_file': expected a file with a token, or one in the environment"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_options_that_cannot_work_are_named_by_platform_and_source(
    options: Mapping[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_JWT", raising=False)
    platform = SitePlatform("slurm", cores=4, memory_gib=8, storage_gib=10, options=options)
    with pytest.raises(InputError, match="site 'perth': option ") as of_platform:
        slurm_options(Site("perth", "Perth", Place(0, 0), platform=platform))
    with pytest.raises(InputError, match=r"\[sites\.perth\.space\.options\]") as of_source:
        load_source(Site("perth", "Perth", Place(0, 0)), Space("slurm", options), SystemClock())
    assert said in str(of_platform.value)
    assert said in str(of_source.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rest_user": "fairlead"}, "'rest_user': expected 'rest_url' with it"),
        ({"rest_url": "unix:/run/x", "sbatch": ["--exclusive"]}, "'sbatch': expected none with 'rest_url'"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: Mapping[str, Any], said: str) -> None:
    platform = SitePlatform("slurm", cores=4, memory_gib=8, storage_gib=10, options=options)
    with pytest.raises(InputError, match=said):
        slurm_options(Site("perth", "Perth", Place(0, 0), platform=platform))
