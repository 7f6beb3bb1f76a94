"""How big is it: HEAD of a URL, run at the site that serves it, because often nobody else can reach it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from broker.catalogues.urls import refusal
from federation.hosts import Host, LocalHost
from federation.sites import Federation

# a catalogue may take 10 s in all
TIME_LIMIT_SECONDS = 8.0


@dataclass(frozen=True)
class Head:
    """What the server said of a URL. `missing`: it answered, and doesn't have it (or doesn't give it)."""

    size_bytes: int | None = None
    ranges: bool = False
    error: str | None = None
    missing: bool = False


def head(federation: Federation, url: str, time_limit_seconds: float = TIME_LIMIT_SECONDS) -> Head:
    """HEAD of `url`, which must be right (`urls.wrong_with`). Blocks; raises nothing."""
    site = federation.site_of_url(url)
    if site is None:
        reason = refusal(url)
        if reason is not None:
            return Head(error=reason, missing=True)
    return run_head(site.host if site else LocalHost(), url, time_limit_seconds)


def run_head(host: Host, url: str, time_limit_seconds: float) -> Head:
    command = host.argv([sys.executable, "-m", "netprobe.mover", "--head", url])
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=time_limit_seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Head(error=f"no answer within {time_limit_seconds:g} s")
    except OSError as error:
        return Head(error=f"cannot run {command[0]}: {error.strerror}")
    lines = done.stdout.splitlines() or [""]
    try:
        said = json.loads(lines[-1])
    except ValueError:
        return Head(error=(done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    size = said.get("size_bytes")
    status = said.get("status")
    return Head(
        size_bytes=size if isinstance(size, int) else None,
        ranges=bool(said.get("ranges")),
        error=said.get("error"),
        missing=isinstance(status, int) and 400 <= status < 500,
    )
