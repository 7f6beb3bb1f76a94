"""Run one command on another machine through the OpenSSH client, and end it there when it is ended here.

`python -m federation.ssh [--port N] [--known-hosts FILE] [--identity FILE] USER@HOST -- COMMAND...` behaves
as the command would: its output, its errors, its exit status. Our standard input becomes its own, whole or
not at all: it is read to its end before anything else, MOST_INPUT_BYTES at most. SIGTERM here is SIGTERM
there, for everything that the command started. When we are killed or the connection breaks, the other side
ends it, too.
Status 255 and one line on standard error: the other machine can't be reached, or isn't the one it should be.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

FAILED = 255
# between SIGTERM and SIGKILL, there and then here
GRACE_SECONDS = 2
# a list of ten thousand files with signed URLs has some megabytes; the other side holds it in memory, twice
MOST_INPUT_BYTES = 64 * 1024 * 1024
_BLOCK_BYTES = 65536

# What the login shell there becomes, and what it starts in a session of its own, so that signals reach all
# that belongs to the command. Each is one line without "!", which any shell takes. (dash's kill takes no
# "--".)
#
# Its standard input is a line with the size of the command's input, that input, and nothing more: our end
# stays open as long as the command is wanted, and `read` returns when it closes, whatever closed it. Until
# then the reader keeps its end of the pipe to the command open, whose own end has another `dd` in between
# that gives out nothing before it has all: what is cut off on the way never looks whole. That one holds
# what the command hasn't read yet, too, so that the reader always gets to its watch.
_THERE = (
    "LC_ALL=C; LANG=C; PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export LC_ALL LANG PATH; exec 3<&0; "
    'setsid sh -c "$@" 3<&3 </dev/null & child=$!; exec 3<&- </dev/null; wait $child; status=$?; '
    "kill -KILL -$child 2>/dev/null; exit $status"
)
_WATCH = f"while read -r line <&3; do :; done; kill -TERM -$$; sleep {GRACE_SECONDS} 3<&-; kill -KILL -$$"
_IN_SESSION = (
    # the command gets its own answer to it, and this shell waits for what that says
    "trap : TERM; read -r size <&3 || exit; "
    'if [ "$size" -eq 0 ]; then '
    f"( trap '' TERM; {{ {_WATCH}; }} >/dev/null 2>&1 & ); (exec \"$@\" </dev/null 3<&-); "
    "else "
    "dd bs=1 count=0 iflag=fullblock </dev/null 2>/dev/null || "
    "{ echo 'dd: iflag=fullblock is not known here' >&2; exit 127; }; "
    f"( trap '' TERM; {{ dd bs=$size count=1 iflag=fullblock <&3; {_WATCH}; }} 2>/dev/null | "
    'dd bs=$size count=1 iflag=fullblock 3<&- 2>/dev/null & ) | (exec "$@" 3<&-); '
    "fi"
)


def remote_line(command: Sequence[str]) -> str:
    """What the login shell of the other machine is given: runs `command`, each word as it is."""
    return (
        f"exec sh -c {shlex.quote(_THERE)} fairlead {shlex.quote(_IN_SESSION)} fairlead {shlex.join(command)}"
    )


def client_line(
    name: str, port: int, known_hosts: str | None, identity: str | None, log: str, command: Sequence[str]
) -> list[str]:
    """The command line of `ssh`. It asks nobody anything, and trusts no key that isn't known already."""
    chosen = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ClearAllForwardings": "yes",
        # A shared connection was tried (benchmarks/ssh_sharing.py has what it saves), and isn't used: its
        # client leaves at SIGTERM though that is ignored here, so that a command's last words get lost and we
        # would return before the other side has ended it; where it hangs all commands hang until it is given
        # up; and it outlives us, and a key that was withdrawn.
        "ControlMaster": "no",
        "ControlPath": "none",
        "LogLevel": "ERROR",
    }
    if known_hosts is not None:
        chosen |= {"UserKnownHostsFile": _path(known_hosts), "GlobalKnownHostsFile": "/dev/null"}
    if identity is not None:
        chosen |= {"IdentityFile": _path(identity), "IdentitiesOnly": "yes"}
    options = [word for key, value in chosen.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", "-T", "-a", "-x", "-E", log, *options, "-p", str(port), "--", name, remote_line(command)]


def _path(path: str) -> str:
    # ssh takes several files in one option, and % for the beginning of a token
    return '"' + path.replace("%", "%%") + '"'


def explanation(log: str, known_hosts: str | None) -> str:
    """One line out of what ssh itself wrote: why there is no connection."""
    where = known_hosts or "the known_hosts files"
    if "HOST IDENTIFICATION HAS CHANGED" in log:
        return f"its host key is not the one in {where}: another machine, or one that was set up anew"
    if re.search(r"^No \S+ host key is known", log, re.MULTILINE):
        return f"its host key is not in {where}: add it there once you have verified it"
    if "Permission denied" in log:
        return "it takes none of our keys: expected a key without a passphrase, or one that an agent holds"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1].removeprefix("ssh: ") if lines else "ssh ended without a word"


class _EndedError(Exception):
    """SIGTERM came."""


def _end(signum: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _EndedError


def _ignore_termination() -> None:
    # the signal goes to ssh as well, which would leave before the other side has ended
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def run(name: str, port: int, known_hosts: str | None, identity: str | None, command: Sequence[str]) -> int:
    """Run `command` on `name` to its end; its exit status, or 255."""
    log = os.memfd_create("ssh-log")
    # the client closes what it inherits: it finds the log through us
    log_path = f"/proc/{os.getpid()}/fd/{log}"
    line = client_line(name, port, known_hosts, identity, log_path, command)
    ssh: subprocess.Popen[bytes] | None = None
    signal.signal(signal.SIGTERM, _end)
    try:
        given = _read_input()
        if len(given) > MOST_INPUT_BYTES:
            sys.stderr.write(f"ssh: {name} port {port}: more than {MOST_INPUT_BYTES} bytes of input\n")
            return FAILED
        ssh = subprocess.Popen(line, stdin=subprocess.PIPE, bufsize=0, preexec_fn=_ignore_termination)
        _hand_on(ssh, b"%d\n%b" % (len(given), given))
        status = ssh.wait()
    except _EndedError:
        return _ending(ssh)
    except OSError as problem:
        sys.stderr.write(f"ssh: {name} port {port}: the client can't be started: {problem.strerror}\n")
        return FAILED
    told = os.pread(log, 1 << 16, 0).decode(errors="replace")
    if status == FAILED and told:
        sys.stderr.write(f"ssh: {name} port {port}: {explanation(told, known_hosts)}\n")
    return status if status >= 0 else FAILED


def _read_input() -> bytes:
    """Our standard input to its end, or to one byte more than is handed on; nothing where there is none."""
    given = bytearray()
    with contextlib.suppress(OSError):
        while len(given) <= MOST_INPUT_BYTES and (block := os.read(0, _BLOCK_BYTES)):
            given += block
    return bytes(given[: MOST_INPUT_BYTES + 1])


def _hand_on(ssh: subprocess.Popen[bytes], content: bytes) -> None:
    assert ssh.stdin is not None
    left = memoryview(content)
    # a client that has ended says itself why
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[ssh.stdin.write(left) :]


def _ending(ssh: subprocess.Popen[bytes] | None) -> int:
    if ssh is not None and ssh.stdin is not None:
        ssh.stdin.close()
        try:
            ssh.wait(GRACE_SECONDS + 1)
        except subprocess.TimeoutExpired:
            ssh.kill()
            ssh.wait()
    return 128 + signal.SIGTERM


def main(arguments: Sequence[str]) -> int:
    own, separator, command = arguments, "", []
    if "--" in arguments:
        cut = list(arguments).index("--")
        own, separator, command = arguments[:cut], "--", list(arguments[cut + 1 :])
    parser = ArgumentParser(
        prog="python -m federation.ssh", usage="%(prog)s [options] USER@HOST -- COMMAND..."
    )
    parser.add_argument("--port", type=int, default=22)
    parser.add_argument("--known-hosts")
    parser.add_argument("--identity")
    parser.add_argument("name")
    chosen = parser.parse_args(own)
    if not separator or not command:
        parser.error("expected -- and the command to run")
    return run(chosen.name, chosen.port, chosen.known_hosts, chosen.identity, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
