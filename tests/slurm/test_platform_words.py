"""What the platform slurm reads, writes and says, without any Slurm: squeue, scripts, endings, options."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.platforms import Status
from broker.platforms.slurm_cli import AWAY, complaint
from broker.platforms.slurm_commands import read_line, read_lines
from broker.platforms.slurm_jobs import SlurmJob
from broker.platforms.slurm_options import slurm_options
from broker.platforms.slurm_output import read_output
from broker.platforms.slurm_script import Body, Ended, exports, job_script, line, read_ended
from broker.platforms.slurm_status import ended_status, waiting
from federation.errors import InputError
from federation.hosts import SshHost
from netprobe.tools._process import Finished
from tests.contracts.platform_support import make_job
from tests.slurm.platform_support import site

NAME = "fairlead-12345678-1234-1234-1234-123456789012"
JOB = make_job("localhost/x:1", "true")
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


# what squeue says

LINES = [
    (
        f"7|{NAME}|RUNNING|0|2026-11-26T06:00:00|n1|None|",
        SlurmJob(7, "RUNNING", None, datetime(2026, 11, 26, 6, tzinfo=UTC), "n1", None),
    ),
    (f"8|{NAME}|PENDING|0|N/A||Resources|", SlurmJob(8, "PENDING", None, None, None, "Resources")),
    (
        f"9|{NAME}|FAILED|1792|N/A|n2|NonZeroExitCode|",
        SlurmJob(9, "FAILED", 7, None, "n2", "NonZeroExitCode"),
    ),
    (f"10|{NAME}|CANCELLED|15|N/A|n2|None|", SlurmJob(10, "CANCELLED", 143, None, "n2", None)),
    (f"11|{NAME}|COMPLETED|0|N/A|n2|None|", SlurmJob(11, "COMPLETED", 0, None, "n2", None)),
]


@pytest.mark.parametrize(("said", "expected"), LINES)
def test_a_line_of_squeue_is_understood(said: str, expected: SlurmJob) -> None:
    assert read_line(said) == (NAME, expected)


def test_of_jobs_with_one_name_the_first_that_goes_on_counts_and_strangers_do_not() -> None:
    lines = [f"{number}|{NAME}|{state}|0|N/A||None|" for number, state in ((3, "FAILED"), (9, "PENDING"))]
    lines += [f"5|{NAME}|RUNNING|0|N/A||None|", "6|a|b", "c|RUNNING|0|N/A||None|"]
    found = read_lines("\n".join(lines))
    assert {name: job.number for name, job in found.items()} == {NAME: 5}
    over = read_lines(
        "\n".join(line.replace("RUNNING", "FAILED").replace("PENDING", "FAILED") for line in lines)
    )
    assert over[NAME].number == 9


@given(st.text(max_size=60))
def test_anything_else_is_a_value_error(said: str) -> None:
    if said.count("|") < 7:
        with pytest.raises(ValueError):
            read_line(said)


@pytest.mark.parametrize(
    ("said", "away"),
    [
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", True),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", True),
        ("squeue: error: If munged is up, restart with --num-threads=10", True),
        ("ssh: login.perth.example port 22: Connection refused", True),
        ("sbatch: error: invalid partition specified: nope", False),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination",
            False,
        ),
    ],
)
def test_a_controller_that_is_away_is_told_from_one_that_refuses(said: str, away: bool) -> None:
    assert (AWAY.search(said) is not None) is away


def test_a_complaint_is_one_line_without_prefixes() -> None:
    said = (
        "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: no\n"
    )
    assert complaint(Finished(1, "", said, False)) == (
        "invalid partition specified: nope; Batch job submission failed: no"
    )


# how jobs end


def over(state: str, code: int | None = None) -> SlurmJob:
    return SlurmJob(5, state, code, None, "n2", None)


def why(ended: Ended | None, found: SlurmJob | None, stopped: str | None = None, **more: Any) -> Status:
    return ended_status(JOB, ended, found, stopped, ("", ""), **more)


KILLED = Ended(143, "n2", True, "")
ENDINGS: list[tuple[Ended | None, SlurmJob | None, str | None]] = [
    (Ended(7, "n2", False, ""), None, None),
    (Ended(137, "n2", False, "oom"), None, "it wanted more memory than the 1 GiB that were offered"),
    (
        Ended(137, "n2", False, ""),
        over("OUT_OF_MEMORY"),
        "it wanted more memory than the 1 GiB that were offered",
    ),
    (None, over("OUT_OF_MEMORY", 137), "it wanted more memory than the 1 GiB that were offered"),
    (Ended(137, "n2", False, ""), over("FAILED", 137), None),
    (KILLED, over("TIMEOUT"), "its Slurm job ran into its time limit"),
    (KILLED, over("PREEMPTED"), "Slurm took its place for a job of higher priority (preempted)"),
    (KILLED, over("CANCELLED"), "its Slurm job was cancelled by somebody else than this broker"),
    (KILLED, None, "its Slurm job was ended from outside"),
    (None, over("BOOT_FAIL"), "its node n2 did not boot: n2: fan (down)"),
    (None, over("NODE_FAIL"), "its node n2 failed: n2: fan (down)"),
    (None, over("DEADLINE"), "its Slurm job could not have ended before its deadline"),
    (None, over("REVOKED"), "Slurm moved its job to another cluster (revoked)"),
    (
        None,
        over("FAILED", 1),
        "its Slurm job 5 ended on n2 before the container could begin: no such directory",
    ),
]


@pytest.mark.parametrize(("ended", "found", "expected"), ENDINGS)
def test_every_ending_has_its_own_sentence(
    ended: Ended | None, found: SlurmJob | None, expected: str | None
) -> None:
    status = why(ended, found, nodes=["n2: fan (down)"], slurm_output="no such directory")
    assert status.problem == expected


def test_what_this_broker_stopped_is_no_problem_but_where_it_says_so() -> None:
    assert (why(None, over("CANCELLED"), "").exit_code, why(None, over("CANCELLED")).exit_code) == (143, None)
    assert why(KILLED, over("CANCELLED"), "").problem is None
    assert why(KILLED, over("CANCELLED"), "too much written").problem == "too much written"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (None, "Slurm has not looked at it yet"),
        ("Resources", "the nodes are busy (Resources); out of use: n2: fan (down)"),
        ("Priority", "other jobs come first (Priority)"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n2",
            "nodes that it needs are out of use (ReqNodeNotAvail, UnavailableNodes:n2); "
            "out of use: n2: fan (down)",
        ),
        ("AssocGrpCpuLimit", "a limit of its account is reached (AssocGrpCpuLimit)"),
        ("QOSMaxJobsPerUserLimit", "a limit of its quality of service is reached (QOSMaxJobsPerUserLimit)"),
        ("Reservation", "its reservation has not begun (Reservation)"),
        # by slurmrestd, and by squeue
        ("ReservationDeleted", "its reservation is over (ReservationDeleted)"),
        ("Reservation day was deleted", "its reservation is over (Reservation day was deleted)"),
        ("SomethingNew", "Slurm lets it wait (SomethingNew)"),
    ],
)
def test_why_a_job_waits_is_said_in_words(reason: str | None, expected: str) -> None:
    found = SlurmJob(5, "PENDING", None, None, None, reason)
    assert waiting(found, ["n2: fan (down)"]).reason == expected


def test_what_is_held_in_the_queue_waits() -> None:
    for state in ("RESV_DEL_HOLD", "REQUEUE_HOLD", "SPECIAL_EXIT", "REQUEUED"):
        _, job = read_line(f"5|{NAME}|{state}|0|N/A||Reservation day was deleted|")
        assert (job.waits, job.over) == (True, False)


# scripts


@given(st.lists(st.tuples(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), TEXT), max_size=3))
def test_values_go_through_the_shell_as_they_are(variables: list[tuple[str, str]]) -> None:
    script = (
        exports("X_", variables) + 'for name; do eval "printf %s \\"\\${X_$name}\\""; printf "\\0"; done\n'
    )
    names = list(dict(variables))
    done = subprocess.run(["sh", "-s", "--", *names], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(dict(variables).values())


def run_script(directory: Path, body: Body) -> subprocess.CompletedProcess[bytes]:
    directory.mkdir(exist_ok=True)
    text = job_script("s", directory, 1.0, body)
    return subprocess.run(["sh"], input=text.encode(), capture_output=True, timeout=120)


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_words_of_a_command_arrive_as_they_are(words: list[str]) -> None:
    done = subprocess.run(
        ["sh"], input=f"printf '%s\\0' {line(*words)}".encode(), capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == words


def test_a_script_writes_down_how_it_ended_and_runs_no_second_time(tmp_path: Path) -> None:
    directory = tmp_path / "a 'quoted' place"
    body = Body(run="sh -c 'echo out; echo err >&2; exit 9'", tidy="echo tidied >> tidied")
    assert run_script(directory, body).returncode == 9
    assert run_script(directory, body).returncode == 0
    ended = read_ended(directory)
    assert ended is not None
    assert (ended.exit_code, ended.stopped, ended.reason) == (9, False, "")
    assert read_output(directory) == ("out\n", "err\n")
    assert (directory / "tidied").read_text() == "tidied\n"


def test_a_script_that_cannot_begin_says_why(tmp_path: Path) -> None:
    assert run_script(tmp_path, Body(run="true", prepare='fail "no image on $node"')).returncode == 125
    ended = read_ended(tmp_path)
    assert ended is not None
    assert ended.reason.startswith("no image on ")


@pytest.mark.parametrize("text", ["", "x\nn1\n\n", "12", "\0"])
def test_half_a_record_is_none_or_what_it_holds(tmp_path: Path, text: str) -> None:
    (tmp_path / "ended").write_text(text)
    found = read_ended(tmp_path)
    assert found == (Ended(12, "", False, "") if text == "12" else None)


def test_a_log_that_grew_too_long_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.platforms.slurm_output.LONGEST_BYTES", 100_000)
    (tmp_path / "stdout").write_text("a" * 100_001 + "end")
    stdout, _ = read_output(tmp_path)
    assert (len(stdout), stdout[-4:]) == (64 * 1024, "aend")
    assert (tmp_path / "stdout").stat().st_size == 0


def test_what_a_command_put_in_the_place_of_its_files_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0\nn1\n\nthe broker's own\n")
    batch = tmp_path / "batch"
    batch.mkdir()
    for name in ("stdout", "ended"):
        (batch / name).symlink_to(tmp_path / "secret")
    # nobody writes to it, ever
    os.mkfifo(batch / "stderr")
    assert read_output(batch) == ("", "")
    assert read_ended(batch) is None
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "stdout").write_text("another's")
    (tmp_path / "linked").symlink_to(tmp_path / "other")
    assert read_output(tmp_path / "linked") == ("", "")


def test_of_a_record_without_end_only_the_beginning_is_read(tmp_path: Path) -> None:
    with (tmp_path / "ended").open("w") as file:
        file.write("7\nn1\n\nwhy\n")
        # takes no space
        file.truncate(2**40)
    found = read_ended(tmp_path)
    assert found is not None
    assert (found.exit_code, found.node) == (7, "n1")


# options and checks

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"runtime": "docker"}, "option 'runtime': expected 'podman' or 'apptainer' or 'singularity' or 'none'"),
    ({"images": "all"}, "option 'images': expected 'node' or 'shared', got 'all'"),
    ({"network": "bridge"}, "option 'network': expected 'none' or 'host'"),
    ({"stop_seconds": 60}, "option 'stop_seconds': expected 0 to 30"),
    ({"command_seconds": 0.1}, "option 'command_seconds': expected 1 to 25"),
    ({"sbatch": [1]}, "option 'sbatch': expected a list of texts"),
    ({"staging": "work"}, "option 'staging': expected an absolute path"),
    ({"runtime": "apptainer", "privileged": True}, "option 'privileged': expected false"),
]


@pytest.mark.parametrize(("options", "expected"), WRONG)
def test_options_that_cannot_work_are_named(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        slurm_options(site(**options))
    assert str(caught.value).startswith(f"site 'perth': {expected}")


def test_over_ssh_the_shared_directory_has_to_be_named_and_here(tmp_path: Path) -> None:
    host = SshHost("login.perth.example")
    with pytest.raises(InputError, match=r"option 'staging': expected a directory that this machine, login"):
        slurm_options(site(host))
    with pytest.raises(InputError, match=r"mounted here under the same path"):
        slurm_options(site(host, staging=str(tmp_path / "none")))
    assert slurm_options(site(host, staging=str(tmp_path)))["staging"] == str(tmp_path)
