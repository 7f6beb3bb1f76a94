"""Slurm: nodes, running jobs until their time limits, planned jobs and reservations, of each partition.

    [[sites.perth.space]]
    source = "slurm"
    [sites.perth.space.options]
    partition = "batch"            # only this one (every partition)
    reservation = "fairlead"       # ours: what it holds is not taken (none)
    conf = "/etc/slurm/slurm.conf" # SLURM_CONF there (as Slurm finds it)
    seconds = 30                   # how long a command may take (30)
    users = "fairlead"             # who may use what is reserved (whoever asks)
    rest_url = "https://slurm.perth.example:6820"  # slurmrestd instead of commands (none); unix:/PATH, too
    rest_user = "fairlead"         # who asks there (the account that this runs as)
    rest_token_file = "/run/fairlead/slurm.jwt"    # (SLURM_JWT of the environment)
    rest_ca_file = "/etc/ssl/perth.pem"            # who signs its certificate (what the machine knows)

Slurm's commands run where the site's `host` says: on this machine, or on a login node over SSH. Needed are
`scontrol` and `squeue --json` (Slurm 21.08 or later). slurmrestd does without them; for what a release of
it can't, they are needed beside it.

`sbatch --test-only` is not asked: it uses up a job's number, its answer may lie on either side of what the
scheduler then plans, and a reservation of all nodes makes it say "never" for what would start after it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from federation.about import About
from federation.clock import Clock
from federation.errors import OutsideError, one_line
from federation.sites import Site, Space
from reservations.calendar import (
    Calendar,
    Host,
    Rules,
    Sight,
    Taken,
)
from reservations.history.past import Past, Use
from reservations.sources import slurm_past
from reservations.sources.slurm_asks import ByCommands, ByRest
from reservations.sources.slurm_hosts import (
    hidden_on,
    host_of,
    jobs_inside,
    most_of,
    taken_by,
    threads_of,
)
from reservations.sources.slurm_jobs import Plan, planned, running, waiting
from reservations.sources.slurm_leases import SlurmLeases
from reservations.sources.slurm_orders import CommandOrders, Orders, RestOrders, Said
from reservations.sources.slurm_rest import (
    RESERVES_SINCE,
    NoAccountsError,
    RestOptions,
    SlurmRest,
    rest_at,
    rest_options,
)
from reservations.sources.slurm_words import node_names, time_limit, value_of
from reservations.tables import Table

# jobs come and go between two commands: what doesn't add up is looked at again before it is believed
_LOOKS = 3
# variables by which whoever runs Slurm's commands may have them leave out jobs, or write times otherwise
_VARIABLES = (
    "SLURM_TIME_FORMAT",
    *(f"SQUEUE_{each}" for each in ("ACCOUNT", "LICENSES", "NAMES", "PARTITION", "QOS", "STATES", "USERS")),
)
_UNSET = [word for name in _VARIABLES for word in ("-u", name)]
# what `env` says of a command that isn't there
_NOT_FOUND = 127
_LIMITS = "windows count on every job's time limit and on Slurm's plan: jobs that end sooner move them"
_ACCOUNTS = (
    "the past is what Slurm's accounting has: jobs that it was told to forget, or hides from this user, are "
    "not in it, and neither are reservations"
)


@dataclass(frozen=True)
class _Options:
    partition: str | None
    reservation: str | None
    conf: str | None
    seconds: float
    users: str | None
    rest: RestOptions | None


@dataclass(frozen=True)
class _Seen:
    """What one look at a cluster found."""

    nodes: Mapping[str, Mapping[str, str]]
    partitions: Sequence[Mapping[str, str]]
    reservations: Sequence[Mapping[str, str]]
    jobs: Sequence[Mapping[str, Any]]
    plans: Mapping[int, Plan]
    running: Sequence[Taken]
    # what of the nodes is allocated, but to no job that is shown
    hidden: Sequence[Taken]


@dataclass(frozen=True)
class SlurmSource:
    """The cluster whose commands run at the site's host."""

    ABOUT = About(
        does="What a Slurm cluster has, runs, plans and has reserved.",
        cannot="Needs Slurm 21.08 or later, and commands that may be run there or slurmrestd.",
        programs=("scontrol", "squeue"),
    )

    site: Site
    space: Space
    clock: Clock

    def __post_init__(self) -> None:
        self._options()

    def calendars(self, start: datetime, end: datetime) -> Sequence[Calendar]:
        options, now = self._options(), self.clock.now()
        seen = self._look(options, now)
        chosen = [
            each
            for each in seen.partitions
            if options.partition is None or each.get("PartitionName") == options.partition
        ]
        if not chosen:
            known = ", ".join(each.get("PartitionName", "?") for each in seen.partitions) or "none"
            raise OutsideError(
                f"site {self.site.id}: Slurm has no partition {options.partition!r}: expected one of {known}"
            )
        return [self._calendar(seen, each, options, now, start, end, len(chosen) > 1) for each in chosen]

    def past(self, start: datetime, end: datetime) -> Past:
        """What the accounting (slurmdbd) has of jobs; without one nothing is remembered."""
        options = self._options()
        uses = [
            use
            for use in self._uses(options, start, end)
            if use.start < end and (options.partition is None or use.kind == options.partition)
        ]
        return Past(tuple(uses), start, end, whole=False, remarks=(_ACCOUNTS,))

    def _uses(self, options: _Options, start: datetime, end: datetime) -> Iterator[Use]:
        beside = ""
        try:
            if options.rest is not None:
                try:
                    return slurm_past.told(self._rest(options.rest, options).past(start, end), end)
                except NoAccountsError as error:
                    beside = self._beside(error)
            said = self._run(options, *slurm_past.command(start, end), beside=beside)
        except OutsideError as error:
            # releases differ in whether that is a failure
            if slurm_past.OFF not in str(error):
                raise
            said = slurm_past.OFF
        if slurm_past.OFF in said:
            raise OutsideError(f"site {self.site.id}: this Slurm keeps no accounting: it remembers no jobs")
        return slurm_past.jobs(said, end)

    def _calendar(
        self,
        seen: _Seen,
        partition: Mapping[str, str],
        options: _Options,
        now: datetime,
        start: datetime,
        end: datetime,
        several: bool,
    ) -> Calendar:
        name = partition.get("PartitionName", "?")
        up = partition.get("State") == "UP"
        most = most_of(partition)
        nodes = [node for node in node_names(value_of(partition, "Nodes")) if node in seen.nodes]
        hosts = tuple(host_of(node, seen.nodes[node], up, most) for node in nodes)
        counted = [each for each in seen.reservations if each.get("ReservationName") != options.reservation]
        inside = jobs_inside(seen.jobs, counted)
        taken = [*seen.running, *seen.hidden, *planned(seen.jobs, seen.plans, now)]
        taken = [each for each in taken if each.booking not in inside]
        for each in counted:
            taken += taken_by(each, seen.nodes, start, end)
        usable = {host.id for host in hosts}
        return Calendar(
            site=self.site.id,
            source="slurm",
            kind=f"slurm:{name}" if several else "slurm",
            hosts=hosts,
            taken=tuple(
                each
                for each in taken
                if each.host in usable and each.start < end and (each.end is None or each.end > start)
            ),
            rules=Rules(longest=time_limit(value_of(partition, "MaxTime"))),
            known_at=now,
            until=end,
            sight=Sight.OWN if seen.hidden else Sight.ALL,
            remarks=tuple(_remarks(seen, partition, hosts)),
        )

    def _look(self, options: _Options, now: datetime) -> _Seen:
        ask: ByCommands | ByRest = ByCommands(partial(self._run, options))
        if options.rest is not None:
            ask = ByRest(self._rest(options.rest, options))
        for _ in range(_LOOKS):
            jobs = ask.jobs()
            nodes = {each["NodeName"]: each for each in ask.nodes() if "NodeName" in each}
            busy = list(running(jobs, {name: threads_of(node) for name, node in nodes.items()}, now))
            hidden = list(hidden_on(nodes, busy, now))
            if not hidden:
                break
        plans = ask.plans(jobs)
        return _Seen(nodes, ask.partitions(), ask.reservations(), jobs, plans, busy, hidden)

    def leases(self) -> SlurmLeases:
        """Slurm's advance reservations; making one takes an operator's rights."""
        options = self._options()

        def orders() -> Orders:
            beside = ""
            if options.rest is not None:
                rest = self._rest(options.rest, options)
                if rest.version() >= RESERVES_SINCE:
                    return RestOrders(rest)
                beside = self._beside(rest.makes_no_reservations())
            return CommandOrders(
                partial(self._run, options, beside=beside), partial(self._said, options, beside=beside)
            )

        return SlurmLeases(self.site.id, orders, self.clock, options.partition, options.users)

    def _beside(self, lack: OutsideError) -> str:
        """Why a command is needed though slurmrestd is asked."""
        return f", which is needed beside it: {str(lack).removeprefix(f'site {self.site.id}: ')}"

    def _rest(self, rest: RestOptions, options: _Options) -> SlurmRest:
        return rest_at(self.site.id, rest, options.seconds)

    def _run(self, options: _Options, *command: str, beside: str = "") -> str:
        done = self._said(options, *command, beside=beside)
        if done.status != 0:
            said = one_line(done.stderr) or f"status {done.status}"
            hint = ": expected Slurm 21.08 or later, with JSON" if "--json" in said else ""
            raise OutsideError(f"site {self.site.id}: {command[0]} failed: {said[:300]}{hint}")
        return done.stdout

    def _said(self, options: _Options, *command: str, beside: str = "") -> Said:
        conf = [] if options.conf is None else [f"SLURM_CONF={options.conf}"]
        # Slurm writes local times without their zone
        line = self.site.host.argv(["env", *_UNSET, "TZ=UTC", "LC_ALL=C", *conf, *command])
        where = f"site {self.site.id}: {command[0]}"
        try:
            done = subprocess.run(
                line, capture_output=True, timeout=options.seconds, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise OutsideError(f"{where} doesn't answer within {options.seconds:g} s") from None
        except OSError as error:
            raise OutsideError(f"{where} can't be started: {error.strerror}") from None
        if done.returncode == _NOT_FOUND and b"No such file" in done.stderr:
            raise OutsideError(f"site {self.site.id}: its host has no command {command[0]}{beside}")
        return Said(done.returncode, *(each.decode(errors="replace") for each in (done.stdout, done.stderr)))

    def _options(self) -> _Options:
        where = f"[sites.{self.site.id}.space.options]"
        table = Table(self.space.options, where)
        partition, reservation = table.text("partition", None), table.text("reservation", None)
        conf, seconds, users = (
            table.text("conf", None),
            table.number("seconds", 30.0),
            table.text("users", None),
        )
        url, *of_rest = (
            table.text(f"rest_{name}", None) for name in ("url", "user", "token_file", "ca_file")
        )
        table.end()
        rest = None if url is None else rest_options(f"{where}:", url, *of_rest)
        return _Options(partition, reservation, conf, seconds, users, rest)


def _remarks(seen: _Seen, partition: Mapping[str, str], hosts: Sequence[Host]) -> Iterator[str]:
    name = partition.get("PartitionName", "?")
    yield _LIMITS
    if partition.get("State") != "UP":
        yield f"partition {name} is {partition.get('State')}: it starts no jobs"
    away = [host.name for host in hosts if not host.bookable] if partition.get("State") == "UP" else []
    if away:
        reasons = {seen.nodes[each].get("State", "?") for each in away}
        yield f"out of use ({', '.join(sorted(reasons))}): {_some(away)}"
    count = waiting(seen.jobs, seen.plans, name)
    if count:
        yield f"{count} waiting jobs have no planned start yet: who asks now may come after them"
    if seen.hidden:
        hidden = _some([each.host for each in seen.hidden])
        yield f"jobs of others are hidden: what they have on {hidden} counts as taken until further notice"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
