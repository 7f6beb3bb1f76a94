"""What we say can be passed on arrives whole: held against the server's own way to read it, and a shell."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from broker.model import Executable
from broker.platforms.skaha_launch import (
    bound,
    parameters_of,
    script_of,
    scriptable,
    session_name,
    unsayable,
    with_places,
)
from tests.skaha.simulator import Refused, Simulator

# of what breaks things more than of other letters
WORDS = st.text(
    st.sampled_from(" \"'\\$=\n\t,:{}[]#&*!|>%@`~éa1-_/.;()<?") | st.characters(codec="utf-8"), max_size=8
)
NAMES = st.text(st.sampled_from("AbZ_09-.=é "), min_size=1, max_size=4) | st.sampled_from(["HOME", "OK", "a"])
ENVIRONMENTS = st.dictionaries(NAMES, WORDS, max_size=3)
COMMANDS = st.lists(WORDS, max_size=4).map(tuple)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    return Simulator(tmp_path_factory.mktemp("skaha"))


@given(entrypoint=WORDS, command=COMMANDS, environment=ENVIRONMENTS)
@example(entrypoint="sh", command=("a=b", "x"), environment={"A": "b c"})
@example(entrypoint="sh", command=(), environment={"A": "YQ=="})
@example(entrypoint="sh", command=("",), environment={})
def test_skaha_reads_what_we_say_can_be_said(
    simulator: Simulator, entrypoint: str, command: tuple[str, ...], environment: Mapping[str, str]
) -> None:
    asked = Executable("x", ("x",), entrypoint=entrypoint, command=command, environment=environment)
    sent = parameters_of("name", "headless", "image", 1, 1, asked)
    read: dict[str, list[str]] = {}
    for name, value in sent:
        read.setdefault(name, []).append(value)
    try:
        words, variables = simulator._started_with(
            "headless", read.get("cmd", [None])[0], read.get("args", [None])[0], read.get("env", [])
        )
        arrives = (words, variables) == ([entrypoint, *command], dict(environment))
    except Refused:
        arrives = False
    if not unsayable(asked):
        assert arrives


@pytest.mark.parametrize(
    "asked",
    [
        Executable("x", ("x",), command=("--a=b", "c,d", "[e]", "{f}", "*", "~x", "%20+&")),
        Executable("x", ("x",), entrypoint="/bin/sh", environment={"_A1": "a b, 'c' #d"}),
    ],
)
def test_what_is_usual_can_be_said(asked: Executable) -> None:
    assert not unsayable(asked)


@given(text=WORDS)
def test_the_body_carries_every_letter(text: str) -> None:
    assume(text)
    assert parse_qs(f"env={quote(text, safe='')}", keep_blank_values=True) == {"env": [text]}


SHOW = """import os, sys
names = [name for name in sys.argv[1].split(",") if name]
sys.stdout.write(repr((sys.argv[1:], {name: os.environ[name] for name in names})))"""


@settings(max_examples=25)  # each runs a shell and a program
@given(command=COMMANDS, environment=ENVIRONMENTS)
@example(command=("$(echo no)", "`no`", "'", '"', "\\", "\n"), environment={"A": "'\n\"$B\\"})
def test_a_script_says_all_that_we_say_it_can(
    tmp_path_factory: pytest.TempPathFactory, command: tuple[str, ...], environment: Mapping[str, str]
) -> None:
    names = ",".join(environment)
    asked = Executable(
        "x", ("x",), entrypoint=sys.executable, command=("-c", SHOW, names, *command), environment=environment
    )
    assume(not scriptable(asked))
    directory = tmp_path_factory.mktemp("script")
    script = directory / "run"
    script.write_text(script_of(asked, (), str(directory / "exit")), encoding="utf-8")
    done = subprocess.run(
        ["/bin/sh", str(script)], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == repr(([names, *command], dict(environment)))
    assert (directory / "exit").read_text() == "0\n"


def test_a_script_hands_the_signal_on_and_the_exit_code_back(tmp_path: Path) -> None:
    program = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    asked = Executable("x", ("x",), entrypoint="/bin/sh", command=("-c", program))
    (tmp_path / "run").write_text(script_of(asked, (), str(tmp_path / "exit")))
    with subprocess.Popen(["/bin/sh", str(tmp_path / "run")], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "ready\n"
        shell.terminate()
        assert shell.stdout.read() == "told\n"
        assert shell.wait(120) == 5
    assert (tmp_path / "exit").read_text() == "5\n"


def test_links_that_can_t_be_made_end_it_before_it_begins(tmp_path: Path) -> None:
    asked = Executable("x", ("x",), entrypoint="/bin/true")
    (tmp_path / "file").write_text("")
    text = script_of(asked, [("/real", str(tmp_path / "file" / "link"))], str(tmp_path / "exit"))
    (tmp_path / "run").write_text(text)
    done = subprocess.run(["/bin/sh", str(tmp_path / "run")], capture_output=True, timeout=120)
    assert done.returncode == 125
    assert done.stderr


@given(st.text(max_size=80))
@example("3f0c7d9e-6d3b-4a3e-9a51-6d2f3f4b5a6c")
@example("-")
@example("\ud800")
def test_every_job_has_a_name_that_skaha_takes(job_id: str) -> None:
    name = session_name(job_id)
    assert re.fullmatch(r"fairlead-[a-z0-9-]*[a-z0-9]", name)
    assert len(name) <= 63
    assert name == session_name(job_id)


def test_two_jobs_have_two_names() -> None:
    assert len({session_name(job_id) for job_id in ("a", "b", "a_", "a.", "é", "a" * 90, "a" * 91)}) == 7


@pytest.mark.parametrize(
    ("text", "placed"),
    [
        ("/data/a.fits", "/arc/1/a.fits"),
        ("--in=/data/a.fits", "--in=/arc/1/a.fits"),
        ("cat /data/a.fits>/data/a.fits.out", "cat /arc/1/a.fits>/data/a.fits.out"),
        ("/data/a.fits,/out/x", "/arc/1/a.fits,/arc/2/x"),
        ("/mydata/data/a.fits", "/mydata/data/a.fits"),
        ("../data/a.fits", "../data/a.fits"),
        ("/output", "/output"),
        ("x=/out", "x=/arc/2"),
        ("/out/data/a.fits", "/arc/2/data/a.fits"),
    ],
)
def test_paths_are_replaced_where_they_are_paths(text: str, placed: str) -> None:
    places = {"/data/a.fits": "/arc/1/a.fits", "/out": "/arc/2"}
    asked = Executable("x", ("x",), command=(text,), environment={"V": text})
    found = with_places(asked, places)
    assert (found.command, dict(found.environment)) == ((placed,), {"V": placed})


def test_what_lies_where_it_is_wanted_needs_nothing() -> None:
    found = bound(Executable("x", ("x",)), {"/arc/a": "/arc/a"}, [PurePosixPath("/tmp")], script=False)
    assert (found.links, found.lost) == ((), ())
