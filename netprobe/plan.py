"""A plan of tests in TOML: who with whom, by which tool, with which parameters, when and how often.

See docs/netprobe.md for the format, and examples/lab-plan.toml.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.errors import InputError
from federation.sites import Federation, Site
from federation.toml_lines import line_of
from netprobe import plan_fields as fields
from netprobe.budget import Budget, read_budget
from netprobe.calendar import Calendar, read_calendar
from netprobe.rounds import colour
from netprobe.shared_rounds import share
from netprobe.tools import Endpoint, Test, Tool, load_tool

DEFAULT_TIME_LIMIT_SECONDS = 60.0
SHAPES = {"mesh": {"sites"}, "star": {"centre", "sites", "direction"}, "pairs": {"pairs", "direction"}}
COMMON = {"tool", "repeat", "time_limit", "every", "jitter", "calendar"}
OTHERS = {"name", "parallel", "defaults", "groups", "calendars", "budget", "bottleneck"}
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
    # for `fairlead probe watch` (None: not watched); begun up to `jitter_seconds` late, each time differently
    every_seconds: float | None = None
    jitter_seconds: float = 0.0
    # tests begin only while all of them are open
    calendars: tuple[Calendar, ...] = ()

    @property
    def key(self) -> str:
        """The same for a block that asks for the same tests, wherever it stands, and whenever it runs."""
        asked = [self.shape, self.tool, self.repeat, dict(self.parameters)]
        asked += [self.sites, self.centre, self.pairs, self.direction]
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Planned:
    """One test to be done, by which tool, and the how-manieth of the same.

    `block` is the index of its block; `key` is unique in the plan, and the same whenever the plan is read.
    """

    test: Test
    tool: Tool
    repetition: int = 0
    block: int = 0
    key: str = ""


@dataclass(frozen=True)
class Round:
    """Tests that run at the same time. Where `exclusive`, no site is in two of them."""

    tests: tuple[Planned, ...]
    exclusive: bool


@dataclass(frozen=True)
class Bottleneck:
    """A link that `sites` share towards all others: it carries `tests` throughput tests at once."""

    sites: frozenset[str]
    tests: int = 1

    def crossed_by(self, test: Test) -> bool:
        return (test.source.site in self.sites) != (test.destination.site in self.sites)


@dataclass(frozen=True)
class Plan:
    """What a file asks for. `parallel`: at most so many throughput tests at once (None: no limit)."""

    name: str
    blocks: tuple[Block, ...] = field(default=())
    parallel: int | None = None
    bottlenecks: tuple[Bottleneck, ...] = ()
    budgets: tuple[Budget, ...] = ()

    @property
    def key(self) -> str:
        """The same as long as the plan asks for the same tests."""
        return hashlib.sha256(" ".join([self.name, *(one.key for one in self.blocks)]).encode()).hexdigest()


def load_plan(path: Path) -> Plan:
    """Read a plan. Raises InputError: "FILE:LINE: [[mesh]] duration: expected ..., got ..."."""
    text, document = _read(path)
    fields.only(document, {*OTHERS, *SHAPES}, str(path))
    parallel = document.get("parallel")
    if parallel is not None:
        parallel = fields.count(parallel, f"{path}: parallel")
    defaults = fields.table(document.get("defaults", {}), f"{path}: [defaults]")
    groups = {
        name: fields.names(sites, f"{path}:{line_of(text, ('groups', name))}: [groups] {name}")
        for name, sites in fields.table(document.get("groups", {}), f"{path}: [groups]").items()
    }
    calendars = {}
    for name, table in fields.table(document.get("calendars", {}), f"{path}: [calendars]").items():
        where = f"{path}:{line_of(text, ('calendars', name))}: [calendars.{name}]"
        calendars[name] = read_calendar(fields.table(table, where), where)
    named = _Named(defaults, groups, calendars)
    blocks = [
        (line, _block(shape, table, named, where))
        for shape in SHAPES
        for line, where, table in fields.tables(document, shape, path, text)
    ]
    if not blocks:
        raise InputError(f"{path}: expected at least one of [[mesh]], [[star]] and [[pairs]], got none")
    blocks.sort(key=lambda pair: pair[0])
    return Plan(
        str(document.get("name", path.stem)),
        tuple(block for _, block in blocks),
        parallel,
        tuple(
            _bottleneck(table, groups, where)
            for _, where, table in fields.tables(document, "bottleneck", path, text)
        ),
        tuple(
            read_budget(fields.table(table, where), where)
            for _, where, table in fields.tables(document, "budget", path, text)
        ),
    )


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as problem:
        raise InputError(f"{path}: can't be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path}: not UTF-8 text") from problem
    except tomllib.TOMLDecodeError as problem:
        raise InputError(f"{path}: not TOML: {problem}") from problem


@dataclass(frozen=True)
class _Named:
    """What blocks refer to."""

    defaults: Mapping[str, Any]
    groups: Mapping[str, tuple[str, ...]]
    calendars: Mapping[str, Calendar]


def _block(shape: str, table: object, named: _Named, where: str) -> Block:
    own = fields.table(table, where)
    defaults = named.defaults
    tool = own.get("tool", defaults.get("tool"))
    if not isinstance(tool, str):
        raise InputError(f'{where} tool: expected the name of a tool such as "iperf3", got {tool!r}')
    # [defaults] holds what is common, [defaults.iperf3] what is iperf3's; the block itself goes first
    merged = {key: defaults[key] for key in COMMON if key in defaults}
    merged |= fields.table(defaults.get(tool, {}), f"{where}: [defaults.{tool}]")
    merged |= own
    parameters = {key: merged[key] for key in merged if key not in SHAPES[shape] | COMMON}
    try:
        load_tool(tool).check(parameters)
    except InputError as problem:
        raise InputError(f"{where} {problem}") from problem
    direction = own.get("direction", "out" if shape == "pairs" else "both")
    if direction not in DIRECTIONS:
        raise InputError(f"{where} direction: expected one of {', '.join(DIRECTIONS)}, got {direction!r}")
    centre = own.get("centre")
    if shape == "star" and not isinstance(centre, str):
        raise InputError(f"{where} centre: expected the id of a site, got {centre!r}")
    every, jitter = merged.get("every"), merged.get("jitter")
    every_seconds = None if every is None else fields.seconds(every, f"{where} every")
    jitter_seconds = 0.0 if jitter is None else fields.seconds(jitter, f"{where} jitter")
    if jitter is not None and (every_seconds is None or jitter_seconds >= every_seconds):
        raise InputError(f"{where} jitter: expected less than `every` ({every}), got {jitter!r}")
    limit = merged.get("time_limit", DEFAULT_TIME_LIMIT_SECONDS)
    return Block(
        shape=shape,
        where=where,
        tool=tool,
        repeat=fields.count(merged.get("repeat", 1), f"{where} repeat"),
        time_limit_seconds=fields.seconds(limit, f"{where} time_limit"),
        parameters=parameters,
        sites=fields.sites(own.get("sites", "all"), named.groups, f"{where} sites"),
        centre=centre,
        pairs=fields.pairs(own.get("pairs"), f"{where} pairs") if shape == "pairs" else (),
        direction=direction,
        every_seconds=every_seconds,
        jitter_seconds=jitter_seconds,
        calendars=_calendars(merged.get("calendar", []), named.calendars, where),
    )


def _calendars(value: object, known: Mapping[str, Calendar], where: str) -> tuple[Calendar, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or any(name not in known for name in names):
        expected = ", ".join(known) or "one of the tables [calendars.NAME], of which there is none"
        raise InputError(f"{where} calendar: expected {expected}, got {value!r}")
    return tuple(known[name] for name in names)


def _bottleneck(table: object, groups: Mapping[str, tuple[str, ...]], where: str) -> Bottleneck:
    own = fields.table(table, where)
    fields.only(own, {"sites", "tests"}, where)
    sites = fields.sites(own.get("sites"), groups, f"{where} sites")
    if sites is None:
        raise InputError(f"{where} sites: expected some of the sites, got all: `parallel` is for all of them")
    return Bottleneck(frozenset(sites), fields.count(own.get("tests", 1), f"{where} tests"))


def expand(plan: Plan, federation: Federation) -> list[Planned]:
    """Every test of the plan, in its order. Raises InputError for a site that can't be tested."""
    tools: dict[str, Tool] = {}
    planned: list[Planned] = []
    alike: Counter[str] = Counter()
    for index, block in enumerate(plan.blocks):
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
            for repetition in range(block.repeat):
                key = f"{block.key}/{source}/{destination}/{repetition}"
                alike[key] += 1
                planned.append(Planned(test, tool, repetition, index, f"{key}/{alike[key]}"))
    return planned


def rounds(
    planned: Sequence[Planned], parallel: int | None = None, bottlenecks: Sequence[Bottleneck] = ()
) -> list[Round]:
    """Put the tests into rounds: those that don't fill a path first, side by side, while the paths are idle.

    A ping beside an iperf3 test on the same path would measure the queue that iperf3 fills. Then each
    repetition of the throughput tests, so that every pair is measured once before any is measured twice.
    See `netprobe.rounds.colour` for how many rounds a repetition takes at most, and `netprobe.shared_rounds`
    for those where a bottleneck is crossed.
    """
    free = [one for one in planned if not one.tool.exclusive]
    filling = [one for one in planned if one.tool.exclusive]
    found = [Round(tuple(tests), exclusive=False) for tests in _repetitions(free)]
    for tests in _repetitions(filling):
        groups: dict[int, list[Planned]] = {}
        for one, number in zip(tests, _numbers(tests, parallel, bottlenecks), strict=True):
            groups.setdefault(number, []).append(one)
        found += [Round(tuple(group), exclusive=True) for group in groups.values()]
    return found


def _numbers(
    tests: Sequence[Planned], parallel: int | None, bottlenecks: Sequence[Bottleneck]
) -> Sequence[int]:
    pairs = [(one.test.source.site, one.test.destination.site) for one in tests]
    crossing = {
        ("bottleneck", number): [link.crossed_by(one.test) for one in tests]
        for number, link in enumerate(bottlenecks)
    }
    if not any(map(any, crossing.values())):
        return colour(pairs, parallel)
    capacity: dict[Hashable, int] = {
        ("bottleneck", number): link.tests for number, link in enumerate(bottlenecks)
    }
    used: list[set[Hashable]] = [{("site", site) for site in pair} for pair in pairs]
    for link, crossed in crossing.items():
        for resources, crosses in zip(used, crossed, strict=True):
            resources |= {link} if crosses else set()
    if parallel is not None:
        capacity["parallel"] = parallel
        for resources in used:
            resources.add("parallel")
    return share(used, capacity)


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
    perfsonar = next(iter(site.perfsonar_hosts), None)
    return Endpoint(site.id, site.host, site.iperf3_address, site.iperf3_port, perfsonar)
