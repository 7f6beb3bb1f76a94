"""The script of a session's Slurm job: runs one container, takes it along when it ends, and writes down how.

Slurm forgets a job minutes after its end (MinJobAge), and may have no accounting: what counts is the file
ENDED_NAME that the script leaves in the session's directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join, quote

from broker.platforms import slurm_files
from federation.errors import one_line

# in the session's directory: all that belongs to its job, and in there what came of it
BATCH_NAME = "batch"
SCRIPT_NAME = "job.sh"
SLURM_OUTPUT_NAME = "slurm.out"
STDOUT_NAME, STDERR_NAME = "stdout", "stderr"
BEGUN_NAME, ENDED_NAME = "begun", "ended"
# of what a script says of its end so much is read
MOST_BYTES = 4096

# `fail` and `finish` end the script; `child` is the container's process, once there is one
_HEAD = """#!/bin/sh
# Session {session}: made by its broker, which removes it with the session.
cd {directory} || exit 1
# submitted once more, since the answer to the first time got lost
[ -e {ended} ] && exit 0
unset TZ LC_ALL
[ -n "$HOME" ] || HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export HOME PATH
umask 022
node=${{SLURMD_NODENAME:-$(hostname)}}
child= killer= stopped=
finish() {{
  trap '' TERM INT
  [ -z "$killer" ] || kill "$killer" 2>/dev/null
  tidy
  printf '%s\\n%s\\n%s\\n%s\\n' "$1" "$node" "$stopped" "$2" > {ended}.new && mv -f {ended}.new {ended}
  exit "$1"
}}
fail() {{ finish 125 "$1"; }}
stop() {{
  [ -z "$stopped" ] || return
  stopped=stopped
  [ -n "$child" ] || return
  terminate
  ( sleep {grace}; slay ) >/dev/null 2>&1 &
  killer=$!
}}
trap stop TERM INT
: > {stdout}; : > {stderr}
printf '%s\\n' "$node" > {begun}.new && mv -f {begun}.new {begun}
"""
# `wait` returns early when a signal comes in; the child is there until it has been waited for
_TAIL = """[ -z "$stopped" ] || finish 143 ''
{run} </dev/null {output} &
child=$!
{beside}
[ -z "$stopped" ] || {{ stopped=; stop; }}
while :; do
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
reason=
{judge}
finish "$code" "$reason"
"""


@dataclass(frozen=True)
class Body:
    """What is particular to a container engine, in lines of shell. `run` is one command; `terminate` and
    `slay` end `$child`; `tidy` removes what the engine left, and may be called when there was nothing;
    `judge` may set `reason` by `$code`. `beside` is done when `$child` has begun, and must not wait for it.
    `output` is where what `run` prints goes."""

    run: str
    prepare: str = ":"
    terminate: str = 'kill -TERM "$child" 2>/dev/null'
    slay: str = 'kill -KILL "$child" 2>/dev/null'
    tidy: str = ":"
    judge: str = ":"
    beside: str = ":"
    output: str = f">>{STDOUT_NAME} 2>>{STDERR_NAME}"


def job_script(session: str, directory: Path, grace_seconds: float, body: Body) -> str:
    """The whole script. `directory` is the job's own (BATCH_NAME), as the nodes see it."""
    words = {
        "session": session,
        "directory": quote(str(directory)),
        "grace": f"{grace_seconds:g}",
        "ended": ENDED_NAME,
        "begun": BEGUN_NAME,
        "stdout": STDOUT_NAME,
        "stderr": STDERR_NAME,
    }
    functions = "".join(
        f"{name}() {{\n  {line}\n}}\n"
        for name, line in (("terminate", body.terminate), ("slay", body.slay), ("tidy", body.tidy))
    )
    tail = _TAIL.format(run=body.run, judge=body.judge, beside=body.beside, output=body.output, **words)
    return f"{functions_first(_HEAD.format(**words), functions)}{body.prepare}\n{tail}"


def functions_first(head: str, functions: str) -> str:
    """`head` with `functions` before its trap: a signal may come as soon as that is set."""
    before, trap, after = head.partition("trap stop TERM INT\n")
    return f"{before}{functions}{trap}{after}"


@dataclass(frozen=True)
class Ended:
    """How a job's container ended, as its script wrote it down. `reason`: why it never began."""

    exit_code: int
    node: str
    stopped: bool
    reason: str


def read_ended(batch: Path) -> Ended | None:
    """None where the script hasn't written it (yet). Blocks."""
    try:
        text = slurm_files.head(batch / ENDED_NAME, MOST_BYTES)
    except OSError:
        return None
    code, node, stopped, reason = [*text.split("\n", 3), "", "", ""][:4]
    if not code.isdecimal():
        return None
    return Ended(int(code), node, stopped != "", one_line(reason))


def line(*words: str) -> str:
    """Words of a command line for the shell, each as it is."""
    return join(words)


def exports(prefix: str, variables: Sequence[tuple[str, str]]) -> str:
    """A file of shell that sets these variables, their names after `prefix`."""
    return "".join(f"export {prefix}{name}={quote(value)}\n" for name, value in variables)
