"""Move files over HTTP to this host, as `python -m netprobe.mover fetch URL PATH` or `fetch-all LIST`.

`head URL` asks how large a file is, `ask` sends small requests and tells the answers (`mover_ask`).

Runs as a child process at the site that receives (in its namespace, or over SSH), hence the standard library
alone: httpx takes longer to import than a small file takes to move. On a command line everybody could read
URLs, and what is signed in them. So "-" as LIST or URL is a JSON object on standard input: {"files"} with
objects of `mover_file.File`, or {"url"}, and in both "bearers", tokens by server (`mover_http.Connections`).
LIST may also be a file with the list of files alone.

Standard output is one JSON object a line: {"event": "progress", "bytes", "seconds"} a few times a second, of
a list {"event": "file", "number", ...} for each that is done, at last {"event": "done", ...} or
{"event": "error", "error"}. Exit status: 0 done, 2 wrong usage,
3 failed, 128 + N ended by signal N. What is at a path is whole, verified and on the disk, or it isn't there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from netprobe import mover_ask, mover_batch, mover_file, mover_http
from netprobe.addresses import Allowed, allowed_from
from netprobe.mover_file import ATTEMPTS, STALL_SECONDS, Done, File
from netprobe.mover_http import MoverError

T = TypeVar("T")
# in place of a URL or a file's name: it comes over standard input
GIVEN = "-"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """SIGTERM or SIGINT."""

    def __init__(self, number: int) -> None:
        self.number = number


def _say(document: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever started us is gone: nobody wants the files
        raise Stopped(signal.SIGPIPE) from None


def _stop(number: int, frame: object) -> NoReturn:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m netprobe.mover", description="Move files over HTTP.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("fetch", help="bring URL to PATH")
    one.add_argument("url")
    one.add_argument("path")
    one.add_argument("--size", type=int, help="bytes that the file must have")
    one.add_argument("--checksum", help="sha256:HEX that it must have")
    one.add_argument("--s3", action="store_true", help="ask an S3 store for the object's checksum")
    many = commands.add_parser("fetch-all", help="bring all files of LIST, several at a time")
    many.add_argument("list")
    many.add_argument("--workers", type=int, default=mover_batch.WORKERS, help="files of a group at a time")
    two = commands.add_parser("head", help="say how large the file at URL is")
    two.add_argument("url")
    three = commands.add_parser("ask", help="send the requests on standard input, and say the answers")
    for each in (one, many):
        each.add_argument("--attempts", type=int, default=ATTEMPTS, help="how often each is tried at most")
    for each in (one, many, two, three):
        each.add_argument(
            "--stall-seconds", type=float, default=STALL_SECONDS, help="silence that is a break"
        )
        each.add_argument("--allow", type=_allowed, help="addresses besides public ones, as JSON (any)")
    return parser.parse_args(argv)


def _allowed(text: str) -> Allowed:
    try:
        return allowed_from(json.loads(text))
    except (KeyError, TypeError, ValueError) as problem:
        raise argparse.ArgumentTypeError(f"expected hosts, peers and networks: {problem!r}") from problem


def main(argv: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    chosen = _arguments(sys.argv[1:] if argv is None else argv)
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        if chosen.command == "head":
            url, bearers = _given("url", str) if chosen.url == GIVEN else (chosen.url, {})
            _say(asdict(mover_http.head(url, chosen.stall_seconds, chosen.allow, bearers)))
        elif chosen.command == "ask":
            asked = mover_ask.read(sys.stdin.read())
            mover_ask.ask_all(asked, chosen.allow, chosen.stall_seconds, lambda each: _say(asdict(each)))
        elif chosen.command == "fetch":
            file = File(chosen.url, chosen.path, chosen.size, chosen.checksum, s3=chosen.s3)
            _say(asdict(_fetch_all(chosen, [file], 1, {}).files[0]))
        else:
            listed, bearers = _given("files", list) if chosen.list == GIVEN else (_read(chosen.list), {})
            batch = _fetch_all(chosen, _files(chosen.list, listed), chosen.workers, bearers)
            groups = {name: asdict(group) for name, group in batch.groups.items()}
            _say({"event": "done", "seconds": batch.seconds, "groups": groups})
    except MoverError as problem:
        mover_file.clean()
        # the HTTP status tells "there is no such file" from "the server can't be reached"
        status, reason = getattr(problem, "status", None), getattr(problem, "reason", None)
        _say({"event": "error", "error": str(problem), "status": status, "reason": reason})
        return 3
    except Stopped as stopped:
        mover_file.clean()
        # nothing more to say, nor to flush at exit into a pipe that may be broken
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + stopped.number
    return 0


def _fetch_all(
    chosen: argparse.Namespace, files: list[File], workers: int, bearers: Mapping[str, str]
) -> mover_batch.Batch:
    def progress(size: int, seconds: float) -> None:
        _say({"event": "progress", "bytes": size, "seconds": round(seconds, 3)})

    def finished(number: int, done: Done) -> None:
        if chosen.command == "fetch-all":
            _say({**asdict(done), "event": "file", "number": number})

    limits = chosen.stall_seconds, chosen.attempts
    return mover_batch.fetch_all(files, chosen.allow, workers, *limits, progress, finished, bearers)


def _given(name: str, kind: type[T]) -> tuple[T, dict[str, str]]:
    """That member of the object on standard input, and the tokens beside it."""
    try:
        document = json.loads(sys.stdin.buffer.read())
        wanted = document[name]
        if isinstance(wanted, kind):
            return wanted, {str(server): str(token) for server, token in document["bearers"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    # not what it is: it may hold tokens, and URLs that are signed
    raise MoverError(f"expected {name} and bearers as JSON on standard input")


def _read(path: str) -> object:
    try:
        return json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as problem:
        raise MoverError(f"{path}: expected a list of files as JSON: {problem}") from problem


def _files(source: str, listed: object) -> list[File]:
    try:
        if isinstance(listed, list):
            return mover_batch.read_files(listed)
    except TypeError:
        pass
    raise MoverError(f"{source}: expected a list of files as JSON")


if __name__ == "__main__":
    raise SystemExit(main())
