"""The two ways to ask a Slurm what it has and runs: its commands on the site's host, or slurmrestd.

Both answer with the same: jobs as its JSON has them, all else as the records of `scontrol --oneliner show`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.errors import OutsideError, one_line
from reservations.sources import slurm_records
from reservations.sources.slurm_jobs import Plan
from reservations.sources.slurm_rest import SlurmRest
from reservations.sources.slurm_words import fields, instant, node_names, value_of

Record = Mapping[str, str]
Records = Sequence[Record]
Job = Mapping[str, Any]


@dataclass(frozen=True)
class ByCommands:
    """`run` runs a command there and returns what it printed. All raise OutsideError."""

    run: Callable[..., str]

    def jobs(self) -> Sequence[Job]:
        return _jobs(self.run("squeue", "--all", "--json"))

    def nodes(self) -> Sequence[Record]:
        return self._shown("node")

    def partitions(self) -> Sequence[Record]:
        return [each for each in self._shown("partition") if each]

    def reservations(self) -> Sequence[Record]:
        return [each for each in self._shown("reservation") if "ReservationName" in each]

    def plans(self, jobs: Sequence[Job]) -> Mapping[int, Plan]:
        """Where and when waiting jobs are planned."""
        return _plans(self.run("squeue", "--all", "--noheader", "--states=PENDING", "--format=%A|%S|%Y"))

    def _shown(self, what: str) -> list[Record]:
        return [fields(line) for line in self.run("scontrol", "--oneliner", "show", what).splitlines()]


@dataclass(frozen=True)
class ByRest:
    rest: SlurmRest

    def jobs(self) -> Sequence[Job]:
        return self.rest.list("jobs")

    def nodes(self) -> Sequence[Record]:
        return list(map(slurm_records.node, self.rest.list("nodes")))

    def partitions(self) -> Sequence[Record]:
        return list(map(slurm_records.partition, self.rest.list("partitions")))

    def reservations(self) -> Sequence[Record]:
        return list(map(slurm_records.reservation, self.rest.list("reservations")))

    def plans(self, jobs: Sequence[Job]) -> Mapping[int, Plan]:
        return slurm_records.plans(jobs)


def _jobs(text: str) -> Sequence[Mapping[str, Any]]:
    try:
        document = json.loads(text)
        jobs, errors = document["jobs"], document.get("errors")
    except (ValueError, KeyError, TypeError, AttributeError):
        jobs, errors = None, None
    if errors:
        # a controller that is away is no jobs, status 0 and an error in the document
        raise OutsideError(f"Slurm: squeue --json failed: {one_line(json.dumps(errors))[:300]}")
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise OutsideError("Slurm: expected a list of jobs from squeue --json, got something else")
    return jobs


def _plans(text: str) -> Mapping[int, Plan]:
    found: dict[int, Plan] = {}
    for line in text.splitlines():
        number, start, nodes = (*line.split("|", 2), "", "")[:3]
        when, where = instant(start), value_of({"nodes": nodes}, "nodes")
        if number.isdecimal() and when is not None and where is not None:
            found[int(number)] = Plan(when, node_names(where))
    return found
