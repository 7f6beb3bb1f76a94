"""Which containers can be made inside of containers, by how those are started: see docs/nested-containers.md.

    python -m benchmarks.nesting

Tries each configuration by the platform podman on this machine, in an image of this machine's own programs;
ten seconds, as root. Nothing is fetched, and nothing stays.
"""

from __future__ import annotations

import asyncio
import platform as machine
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

# what the tests start containers with is in the checkout, and in no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from broker.nesting import Attempt, Kind, Trial
from broker.nesting.probe import try_nesting
from broker.platforms.podman_cli import usable
from federation.sites import Place, Platform, Site
from tests.broker.nesting.configurations import CONFIGURATIONS, configured, engine_socket, with_socket
from tests.broker.nesting.image import missing, nesting_image
from tests.contracts.platform_support import make_platform

SITE = Site("here", "Here", Place(0, 0), platform=Platform("podman", 4, 8, 10))
LIMIT_SECONDS = 120.0
PROGRAMS = ("podman", "crun", "runc", "bwrap", "unshare")


def main() -> None:
    reason = usable() or missing()
    if reason is not None:
        raise SystemExit(reason)
    now = datetime.now(UTC)
    found: dict[str, Trial] = {}
    with (
        TemporaryDirectory() as directory,
        nesting_image() as image,
        engine_socket(Path(directory)) as socket,
    ):
        options = {**CONFIGURATIONS, "socket": with_socket(socket)}
        for name, added in options.items():
            root = Path(directory) / name
            root.mkdir()
            with pytest.MonkeyPatch.context() as patch, configured(added, root / "bin", patch):
                site = make_platform("podman", root, {"privileged": name == "default"})
                tried = asyncio.run(try_nesting(site, SITE, image, now, LIMIT_SECONDS))
            found[name] = tried.plain
            if isinstance(tried.privileged, Trial):
                found["privileged"] = tried.privileged
    kernel = found["default"].facts["kernel"]
    print(f"Measured on {now:%Y-%m-%d}, kernel {kernel} ({machine.machine()}); {', '.join(versions())}.\n")
    print_table(found)


def versions() -> list[str]:
    """The first line of what each program says of itself."""
    said = []
    for program in PROGRAMS:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30)
        said.append(done.stdout.splitlines()[0])
    return said


def print_table(found: Mapping[str, Trial]) -> None:
    """A row a configuration, a column a kind; each error once, below, by its number."""
    errors: dict[str, int] = {}

    def cell(attempt: Attempt) -> str:
        if attempt.works:
            return "yes"
        return f"no ({errors.setdefault(attempt.said, len(errors) + 1)})"

    print(f"| started | {' | '.join(f'`{kind}`' for kind in Kind)} |")
    print("| --- |" + " --- |" * len(Kind))
    for name, trial in found.items():
        print(f"| {name} | {' | '.join(cell(trial.attempts[kind]) for kind in Kind)} |")
    print()
    for said, number in errors.items():
        print(f"{number}. `` {said} ``")


if __name__ == "__main__":
    main()
