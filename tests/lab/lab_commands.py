"""What the lab's tests run."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import main
from lab import lab

SMALL = Path(__file__).with_name("small.toml")


def command(*arguments: str) -> list[str]:
    """The command line of `fairlead lab ...`."""
    return [sys.executable, "-c", "from fairlead.cli import main; main()", "lab", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `fairlead lab ...` to its end, in this process, which is faster than starting Python anew."""
    words, results = io.StringIO(), io.StringIO()
    before = signal.getsignal(signal.SIGTERM)
    try:
        with redirect_stdout(results), redirect_stderr(words), pytest.raises(SystemExit) as left:
            main(["lab", *arguments])
    finally:
        signal.signal(signal.SIGTERM, before)
    status = left.value.code
    assert isinstance(status, int)
    return subprocess.CompletedProcess(["lab", *arguments], status, results.getvalue(), words.getvalue())


def at(site: str, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command at a site of the lab, to its end."""
    return subprocess.run(lab.host(site).argv(argv), capture_output=True, text=True, timeout=300, **options)


def namespaces() -> list[str]:
    """The namespaces of the tests' lab that exist."""
    prefix = f"{os.environ['FAIRLEAD_LAB_NAME']}-"
    return sorted(file.name for file in Path("/run/netns").glob(f"{prefix}*"))
