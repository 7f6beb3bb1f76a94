"""A plan of tests in TOML: who with whom, by which tool, with which parameters, how often.

See docs/netprobe.md for the format, and examples/lab-plan.toml.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.errors import InputError
from federation.sites import Federation, Site
from federation.units import parse_seconds
from netprobe.rounds import colour
from netprobe.tools import Endpoint, Test, Tool, load_tool

DEFAULT_TIME_LIMIT_SECONDS = 60.0
SHAPES = {"mesh": {"sites"}, "star": {"centre", "sites", "direction"}, "pairs": {"pairs", "direction"}}
COMMON = {"tool", "repeat", "time_limit"}
DIRECTIONS = ("both", "out", "in")


@dataclass(frozen=True)
class Block:
    """One table of the plan. `where` is "FILE:LINE: [[mesh]]", for messages."""

    shape: str
    where: str
    tool: str
    repeat: int
    time_limit_seconds: float
    parameters: Mapping[str, Any]
    # None: all sites that have a measuring address
    sites: tuple[str, ...] | None = None
    centre: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    direction: str = "both"


@dataclass(frozen=True)
class Planned:
    """One test to be done, by which tool, and the how-manieth of the same."""

    test: Test
    tool: Tool
    repetition: int = 0


@dataclass(frozen=True)
class Round:
    """Tests that run at the same time. Where `exclusive`, no site is in two of them."""

    tests: tuple[Planned, ...]
    exclusive: bool


@dataclass(frozen=True)
class Plan:
    """What a file asks for. `parallel`: at most so many throughput tests at once (None: no limit)."""

    name: str
    blocks: tuple[Block, ...] = field(default=())
    parallel: int | None = None


def load_plan(path: Path) -> Plan:
    """Read a plan. Raises InputError: "FILE:LINE: [[mesh]] duration: expected ..., got ..."."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as problem:
        raise InputError(f"{path}: can't be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 text") from problem
    except tomllib.TOMLDecodeError as problem:
        raise InputError(f"{path}: not TOML: {problem}") from problem
    _only(document, {"name", "parallel", "defaults", *SHAPES}, str(path))
    parallel = document.get("parallel")
    if parallel is not None and (not _whole(parallel) or parallel < 1):
        raise InputError(f"{path}: parallel: expected a whole number from 1 up, got {parallel!r}")
    defaults = _table(document.get("defaults", {}), f"{path}: [defaults]")
    blocks = []
    for shape in SHAPES:
        tables = document.get(shape, [])
        if not isinstance(tables, list):
            raise InputError(f"{path}: {shape}: expected tables [[{shape}]], got {tables!r}")
        lines = _lines(text, shape)
        for index, table in enumerate(tables):
            line = f":{lines[index]}" if index < len(lines) else ""
            where = f"{path}{line}: [[{shape}]]"
            blocks.append((lines[index] if index < len(lines) else 0, _block(shape, table, defaults, where)))
    if not blocks:
        raise InputError(f"{path}: expected at least one of [[mesh]], [[star]] and [[pairs]], got none")
    blocks.sort(key=lambda pair: pair[0])
    name = document.get("name", path.stem)
    return Plan(str(name), tuple(block for _, block in blocks), parallel)


def _block(shape: str, table: object, defaults: Mapping[str, Any], where: str) -> Block:
    own = _table(table, where)
    tool = own.get("tool", defaults.get("tool"))
    if not isinstance(tool, str):
        raise InputError(f'{where} tool: expected the name of a tool such as "iperf3", got {tool!r}')
    # [defaults] holds what is common, [defaults.iperf3] what is iperf3's; the block itself goes first
    merged = {key: defaults[key] for key in COMMON if key in defaults}
    merged |= _table(defaults.get(tool, {}), f"{where}: [defaults.{tool}]")
    merged |= own
    parameters = {key: merged[key] for key in merged if key not in SHAPES[shape] | COMMON}
    try:
        load_tool(tool).check(parameters)
    except InputError as problem:
        raise InputError(f"{where} {problem}") from problem
    repeat = merged.get("repeat", 1)
    if not _whole(repeat) or repeat < 1:
        raise InputError(f"{where} repeat: expected a whole number from 1 up, got {repeat!r}")
    direction = own.get("direction", "out" if shape == "pairs" else "both")
    if direction not in DIRECTIONS:
        raise InputError(f"{where} direction: expected one of {', '.join(DIRECTIONS)}, got {direction!r}")
    centre = own.get("centre")
    if shape == "star" and not isinstance(centre, str):
        raise InputError(f"{where} centre: expected the id of a site, got {centre!r}")
    return Block(
        shape=shape,
        where=where,
        tool=tool,
        repeat=repeat,
        time_limit_seconds=_time_limit(merged.get("time_limit", DEFAULT_TIME_LIMIT_SECONDS), where),
        parameters=parameters,
        sites=_sites(own.get("sites", "all"), where),
        centre=centre,
        pairs=_pairs(own.get("pairs"), where) if shape == "pairs" else (),
        direction=direction,
    )


def expand(plan: Plan, federation: Federation) -> list[Planned]:
    """Every test of the plan, in its order. Raises InputError for a site that can't be tested."""
    tools: dict[str, Tool] = {}
    planned = []
    for block in plan.blocks:
        tool = tools.setdefault(block.tool, load_tool(block.tool))
        for source, destination in _ordered_pairs(block, federation):
            if source == destination:
                raise InputError(f"{block.where} {source!r}: a site is not tested with itself")
            test = Test(
                _endpoint(federation, source, block.where),
                _endpoint(federation, destination, block.where),
                block.parameters,
                block.time_limit_seconds,
            )
            planned += [Planned(test, tool, repetition) for repetition in range(block.repeat)]
    return planned


def rounds(planned: Sequence[Planned], parallel: int | None = None) -> list[Round]:
    """Put the tests into rounds: those that don't fill a path first, side by side, while the paths are idle.

    A ping beside an iperf3 test on the same path would measure the queue that iperf3 fills. Then each
    repetition of the throughput tests, so that every pair is measured once before any is measured twice.
    See `netprobe.rounds.colour` for how many rounds a repetition takes at most.
    """
    free = [one for one in planned if not one.tool.exclusive]
    filling = [one for one in planned if one.tool.exclusive]
    found = [Round(tuple(tests), exclusive=False) for tests in _repetitions(free)]
    for tests in _repetitions(filling):
        pairs = [(one.test.source.site, one.test.destination.site) for one in tests]
        groups: dict[int, list[Planned]] = {}
        for one, number in zip(tests, colour(pairs, parallel), strict=True):
            groups.setdefault(number, []).append(one)
        found += [Round(tuple(group), exclusive=True) for group in groups.values()]
    return found


def _repetitions(planned: Sequence[Planned]) -> Iterable[list[Planned]]:
    by_number = sorted(planned, key=lambda one: one.repetition)
    return (list(group) for _, group in itertools.groupby(by_number, key=lambda one: one.repetition))


def _ordered_pairs(block: Block, federation: Federation) -> list[tuple[str, str]]:
    sites = block.sites
    if sites is None:
        sites = tuple(site.id for site in federation if site.iperf3_address is not None)
    if block.shape == "mesh":
        return list(itertools.permutations(sites, 2))
    out = list(block.pairs)
    if block.shape == "star":
        out = [(str(block.centre), site) for site in sites if site != block.centre]
    back = [(destination, source) for source, destination in out]
    return {"out": out, "in": back, "both": out + back}[block.direction]


def _endpoint(federation: Federation, site_id: str, where: str) -> Endpoint:
    site: Site | None = federation.sites.get(site_id)
    if site is None:
        raise InputError(
            f"{where} no site is called {site_id!r}: expected one of {', '.join(federation.sites)}"
        )
    if site.iperf3_address is None:
        raise InputError(f"{where} site {site_id!r} has no iperf3_address in the catalogue")
    return Endpoint(site.id, site.host, site.iperf3_address, site.iperf3_port)


def _lines(text: str, shape: str) -> list[int]:
    header = re.compile(rf"\s*\[\[\s*{shape}\s*\]\]")
    return [number for number, line in enumerate(text.splitlines(), start=1) if header.match(line)]


def _only(table: Mapping[str, Any], expected: set[str], where: str) -> None:
    for key in table:
        if key not in expected:
            raise InputError(f"{where}: unknown key {key!r}: expected one of {', '.join(sorted(expected))}")


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a table, got {value!r}")
    return value


def _time_limit(value: object, where: str) -> float:
    try:
        seconds = parse_seconds(value) if isinstance(value, str) else value
    except InputError as problem:
        raise InputError(f"{where} time_limit: {problem}") from problem
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise InputError(f'{where} time_limit: expected a duration such as "30 s", got {value!r}')
    return float(seconds)


def _sites(value: object, where: str) -> tuple[str, ...] | None:
    if value == "all":
        return None
    if not isinstance(value, list) or not value or not all(isinstance(site, str) for site in value):
        raise InputError(f'{where} sites: expected "all" or a list of site ids, got {value!r}')
    if len(set(value)) < len(value):
        raise InputError(f"{where} sites: expected each site once, got {value!r}")
    return tuple(value)


def _pairs(value: object, where: str) -> tuple[tuple[str, str], ...]:
    def is_pair(pair: object) -> bool:
        return isinstance(pair, list) and len(pair) == 2 and all(isinstance(site, str) for site in pair)

    if not isinstance(value, list) or not value or not all(is_pair(pair) for pair in value):
        raise InputError(f'{where} pairs: expected a list such as [["perth", "lausanne"]], got {value!r}')
    return tuple((source, destination) for source, destination in value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
