"""A library's work on what came from anywhere, in a process of its own: neither a crash nor an endless loop
nor a flood of memory in it takes the caller with it.

The module that does it is run as `python -m MODULE`: it calls `limit` first, reads one JSON document on
standard input and writes one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from typing import Any


class AsideError(Exception):
    """It came to nothing: one line that says what the process did instead."""


def aside(module: str, given: Any, time_limit_seconds: float) -> Any:
    """What `module` makes of `given`, both as JSON has them. Blocks. Raises AsideError."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            # threads of a library would each reserve memory, of which there is little
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            timeout=time_limit_seconds,
            check=True,
        )
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise AsideError(f"not done within {time_limit_seconds:g} s") from None
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        raise AsideError(f"it failed: {type(problem).__name__}") from problem


def limit(seconds: int, memory_bytes: int) -> None:
    """Bound the processor time and memory of this process for good."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
