"""A lab that a benchmark has for itself, with paths that are all alike; it disturbs no other lab."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federation.catalogue import load_federation
from federation.sites import Federation
from lab import lab, state


def description(sites: int, rate: str, delay: str, mtu: int) -> str:
    """TOML of a lab of so many sites (s1, s2, ...), each path with that rate and one-way delay."""
    names = [f"s{number}" for number in range(1, sites + 1)]
    lines = ['name = "benchmark"', f"mtu = {mtu}"]
    for number, name in enumerate(names, start=1):
        lines += [f"[sites.{name}]", f"number = {number}", f'name = "{name}"', "rses = []"]
        lines += ["latitude = 0.0", f"longitude = {float(number)}"]
        lines += ['platform = { cores = 1, memory = "1 GiB", storage = "1 GiB" }']
    path = f'{{ rate = "{rate}", delay = "{delay}", queue = "20 ms" }}'
    for source in names:
        lines += [f"[paths.{source}]", *(f"{other} = {path}" for other in names if other != source)]
    return "\n".join(lines) + "\n"


@contextmanager
def own_lab(sites: int, rate: str, delay: str, mtu: int = 9000) -> Iterator[Federation]:
    """Its sites, while the block lasts. Needs root and network namespaces."""
    before = {name: os.environ.get(name) for name in (state.NAME_VARIABLE, "XDG_DATA_HOME")}
    with tempfile.TemporaryDirectory(prefix="fairlead-benchmark-") as directory:
        os.environ |= {state.NAME_VARIABLE: f"flb{os.getpid()}", "XDG_DATA_HOME": directory}
        try:
            file = Path(directory) / "lab.toml"
            file.write_text(description(sites, rate, delay, mtu), encoding="utf-8")
            lab.up(file)
            yield load_federation(state.state_dir() / "sites.toml")
        finally:
            lab.down()
            for name, value in before.items():
                os.environ.pop(name)
                os.environ |= {} if value is None else {name: value}
