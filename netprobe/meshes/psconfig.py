"""What a pSConfig template asks for: every test of every task, between whom, how often, and who runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from federation.errors import InputError
from netprobe.meshes.psconfig_addresses import Address, pointer_to
from netprobe.meshes.psconfig_document import Template, pointer
from netprobe.meshes.psconfig_groups import combinations
from netprobe.meshes.values import address as ip_address
from netprobe.meshes.values import items, mapping, number, seconds, text, version_of

MOST_TESTS = 250_000
_VARIABLE = re.compile(r"\{%\s*(.*?)\s*%\}")
_INDEXED = re.compile(r"(address|pscheduler_address|lead_bind_address)\[(\d{1,3})\]")
# latencybg runs for ever and gives a result after so many packets, one each so many seconds
_PACKETS, _PACKET_SECONDS = 600.0, 0.1


@dataclass(frozen=True)
class Expected:
    """One test that a template asks for. `source` sends and `destination` receives, also if `reverse` is set.

    `destination` is None for what is measured at one place only (SNMP, a list's members).
    """

    task: str
    test: str
    source: str
    destination: str | None
    # other names of the ends: of the entry in /addresses, and its own address
    source_names: tuple[str, ...]
    destination_names: tuple[str, ...]
    spec: Mapping[str, Any]
    # from one result to the next; None where it is run once, or by a calendar (repeat-cron)
    repeat_seconds: float | None
    ip_version: int | None
    # the address whose pScheduler gets the task
    scheduled_by: str
    tools: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    reference: Any = None

    @property
    def protocol(self) -> str | None:
        """tcp or udp for throughput, None for other tests."""
        if self.test != "throughput":
            return None
        return "udp" if self.spec.get("udp") is True else "tcp"


@dataclass
class _Task:
    """A task with what it refers to."""

    name: str
    entry: Mapping[str, Any]
    test: Mapping[str, Any]
    schedule: Mapping[str, Any]
    where: str = field(init=False)

    def __post_init__(self) -> None:
        self.where = pointer("tasks", self.name)


def expected(template: Template) -> list[Expected]:
    """Every test of every enabled task, in the order of the template.

    Combinations with a disabled end, or that nobody would run (no agent at either end), are not expected.
    What can't be understood is a line in `template.problems`, with its JSON pointer; the rest is given
    nevertheless. Raises InputError for more than 250,000 tests.
    """
    every = (one for task in _tasks(template) for one in _of_task(template, task))
    found = list(islice(every, MOST_TESTS + 1))
    if len(found) > MOST_TESTS:
        raise InputError(f"{template.place}: expected at most {MOST_TESTS:,} tests, it asks for more")
    return found


def _tasks(template: Template) -> Iterator[_Task]:
    for name in template.sections["tasks"]:
        where = pointer("tasks", name)
        entry = template.entry("tasks", name, where)
        if entry is None or entry.get("disabled") is True:
            continue
        group = template.entry("groups", entry.get("group"), pointer_to(where, "group"))
        test = template.entry("tests", entry.get("test"), pointer_to(where, "test"))
        schedule: Mapping[str, Any] | None = {}
        if "schedule" in entry:
            schedule = template.entry("schedules", entry["schedule"], pointer_to(where, "schedule"))
        if group is not None and test is not None and schedule is not None:
            yield _Task(name, entry, test, schedule)


def _of_task(template: Template, task: _Task) -> Iterator[Expected]:
    kind = text(task.test.get("type"))
    if kind is None:
        template.problem(pointer("tests", str(task.entry.get("test")), "type"), "expected the type of a test")
        return
    seen = set()
    for addresses in combinations(template, str(task.entry["group"])):
        key = tuple((one.name, one.address) for one in addresses)
        if key not in seen:
            seen.add(key)
            one = _test(template, task, kind, addresses)
            if one is not None:
                yield one


def _test(template: Template, task: _Task, kind: str, ends: tuple[Address, ...]) -> Expected | None:
    first = task.entry.get("scheduled-by", 0)
    if not isinstance(first, int) or isinstance(first, bool) or not 0 <= first < len(ends):
        template.problem(
            pointer_to(task.where, "scheduled-by"), f"expected 0 to {len(ends) - 1}, got {first!r}"
        )
        return None
    if any(end.disabled for end in ends):
        return None
    flip = ends[first].no_agent
    runner = next((end for end in (ends[first], *ends) if not end.no_agent), None)
    if runner is None:
        return None
    at = pointer("tests", str(task.entry.get("test")), "spec")
    spec = _expand(template, mapping(task.test, "spec"), at, ends, runner, flip)
    source, source_names, destination, destination_names = _ends(spec, ends)
    if spec.get("reverse") is True and destination is not None and kind != "rtt":
        source, destination = destination, source
        source_names, destination_names = destination_names, source_names
    version = number(spec.get("ip-version")) or version_of(ip_address(source) or ip_address(destination))
    return Expected(
        task=task.name,
        test=kind,
        source=source,
        destination=destination,
        source_names=source_names,
        destination_names=destination_names,
        spec=spec,
        repeat_seconds=_repeat_seconds(template, task, kind, spec),
        ip_version=None if version is None else int(version),
        scheduled_by=runner.address,
        tools=tuple(name for one in items(task.entry.get("tools")) if (name := text(one))),
        archives=_archives(template, task, runner),
        contexts=_contexts(template, ends),
        reference=_expand(template, task.entry.get("reference"), task.where, ends, runner, flip),
    )


def _ends(
    spec: Mapping[str, Any], ends: tuple[Address, ...]
) -> tuple[str, tuple[str, ...], str | None, tuple[str, ...]]:
    """Who sends and who receives, by the words of the test; by the order of the group where it has none."""
    known = {end.address: end for end in reversed(ends)}
    source = text(spec.get("source")) or ends[0].address
    destination = text(spec.get("dest")) or (ends[1].address if len(ends) > 1 else None)
    if len(ends) == 1 and destination == source:
        destination = None
    return source, _names(known.get(source)), destination, _names(known.get(destination or ""))


def _names(end: Address | None) -> tuple[str, ...]:
    return () if end is None else tuple(dict.fromkeys((end.name, end.own_address)))


# How


def _repeat_seconds(template: Template, task: _Task, kind: str, spec: Mapping[str, Any]) -> float | None:
    if kind == "latencybg":
        packets, gap = number(spec.get("packet-count")), number(spec.get("packet-interval"))
        return (packets or _PACKETS) * (gap or _PACKET_SECONDS)
    if "repeat" not in task.schedule:
        return None
    found = seconds(task.schedule["repeat"]) if isinstance(task.schedule["repeat"], str) else None
    if found is None or found <= 0:
        where = pointer("schedules", str(task.entry.get("schedule")), "repeat")
        template.problem(where, f"expected a duration such as PT4H, got {task.schedule['repeat']!r}"[:200])
        return None
    return found


def _archives(template: Template, task: _Task, runner: Address) -> tuple[str, ...]:
    """The task's archives, and those of the host that runs it."""
    host: Mapping[str, Any] = mapping(template.sections["hosts"], runner.host) if runner.host else {}
    places = [(task.entry.get("archives"), pointer_to(task.where, "archives"))]
    if runner.host:
        places.append((host.get("archives"), pointer("hosts", runner.host, "archives")))
    found = []
    for names, where in places:
        for number_, name in enumerate(items(names)):
            if template.entry("archives", name, pointer_to(where, number_)) is not None:
                found.append(str(name))
    return tuple(dict.fromkeys(found))


def _contexts(template: Template, ends: tuple[Address, ...]) -> tuple[str, ...]:
    for end in ends:
        for number_, name in enumerate(end.contexts):
            template.entry("contexts", name, pointer("addresses", end.name, "contexts", number_))
    return tuple(dict.fromkeys(name for end in ends for name in end.contexts))


def _expand(
    template: Template, value: Any, where: str, ends: tuple[Address, ...], runner: Address, flip: bool
) -> Any:
    """`value` with its variables filled in; one that isn't known stays as it stands, and is a problem."""
    if isinstance(value, Mapping):
        return {
            key: _expand(template, part, pointer_to(where, str(key)), ends, runner, flip)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [
            _expand(template, part, pointer_to(where, number_), ends, runner, flip)
            for number_, part in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def filled(match: re.Match[str]) -> str:
        found = _variable(match[1], ends, runner, flip)
        if found is None:
            template.problem(where, f"variable {match[1]!r} is not filled in: it isn't known here")
        return match[0] if found is None else found

    whole = _VARIABLE.fullmatch(value)
    if whole is not None and whole[1] == "flip":
        return flip
    return _VARIABLE.sub(filled, value)


def _variable(name: str, ends: tuple[Address, ...], runner: Address, flip: bool) -> str | None:
    if name == "flip":
        return str(flip).lower()
    if name == "scheduled_by_address":
        return runner.address
    if name == "localhost":
        return runner.address if flip else "localhost"
    match = _INDEXED.fullmatch(name)
    if match is None or int(match[2]) >= len(ends):
        return None
    end = ends[int(match[2])]
    if match[1] == "address":
        return end.address
    if match[1] == "lead_bind_address":
        return end.lead_bind_address
    found = end.pscheduler_address
    return f"[{found}]" if version_of(ip_address(found)) == 6 and not found.startswith("[") else found
