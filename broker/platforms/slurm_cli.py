"""Slurm's own commands on the site's host: what is run, and what their complaints mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from broker.platforms import PlatformError, Unreachable
from federation.hosts import Host
from netprobe.tools import _process

# the controller, munge or the way to them is away or slow: that says nothing of what was asked about
AWAY = re.compile(
    r"unable to contact slurm controller|socket timed out|zero bytes were transmitted|"
    r"connection (refused|failure|timed out)|message (send|receive) failure|transport endpoint|munge|"
    r"authentication (error|failure)|"
    r"slurm backup controller in standby|resource temporarily unavailable|^ssh: ",
    re.IGNORECASE | re.MULTILINE,
)
# sbatch hands its environment to the job: nothing of the broker's may be in it. And variables that Slurm's
# commands know (SQUEUE_PARTITION, SLURM_TIME_FORMAT) would change what they say. Only where its configuration
# is, they may be told.
CLEAN = 'exec env -i "PATH=$PATH" "HOME=$HOME" ${SLURM_CONF:+"SLURM_CONF=$SLURM_CONF"} "$@"'
NOT_FOUND = 127
# what the way to another machine says where there is none
SSH_FAILED = 255


@dataclass(frozen=True)
class Slurm:
    """The cluster whose commands run on `host`; `conf` is SLURM_CONF there."""

    site_id: str
    host: Host
    conf: str | None
    command_seconds: float

    async def run(
        self, *command: str, time_limit_seconds: float | None = None, clean: bool = False
    ) -> _process.Finished:
        """Run a command there and return how it ended. Raises Unreachable where it doesn't answer in time,
        PlatformError where it isn't there. `clean`: without the environment of the one who runs it."""
        limit = self.command_seconds if time_limit_seconds is None else time_limit_seconds
        # Slurm writes local times without their zone
        words = ["TZ=UTC", "LC_ALL=C", *([] if self.conf is None else [f"SLURM_CONF={self.conf}"]), *command]
        line = ["sh", "-c", CLEAN, "sh", *words] if clean else ["env", *words]
        try:
            end = await _process.run(self.host.argv(line), limit)
        except (OSError, ValueError) as problem:
            raise self.error(f"{command[0]} can't be run: {problem}") from problem
        if end.timed_out:
            raise Unreachable(f"site {self.site_id}: {command[0]} doesn't answer within {limit:g} s")
        if end.returncode == NOT_FOUND and "No such file" in end.stderr:
            raise self.error(f"its host has no command {command[0]}")
        return end

    async def ask(self, *command: str) -> str:
        """What a question to the controller prints. Any failure is Unreachable: nothing is known then."""
        end = await self.run(*command, clean=True)
        if end.returncode != 0:
            raise Unreachable(f"site {self.site_id}: {command[0]}: {complaint(end)}")
        return end.stdout

    async def order(self, *command: str) -> str:
        """Have something done. Raises Unreachable where the controller isn't there (it may have been done all
        the same), PlatformError with Slurm's words where it refuses."""
        end = await self.run(*command, clean=True)
        if end.returncode != 0:
            raise self._refusal(f"{command[0]}: {complaint(end)}", end)
        return end.stdout

    def _refusal(self, text: str, end: _process.Finished) -> PlatformError:
        away = AWAY.search(end.stderr) is not None
        return Unreachable(f"site {self.site_id}: {text}") if away else self.error(text)

    def error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self.site_id}: {text}")


def complaint(end: _process.Finished) -> str:
    """What a command of Slurm's complained of, in one line without its prefixes."""
    said = [line.strip() for line in end.stderr.splitlines() if line.strip()]
    # sbatch says what was wrong first, and that it failed last
    lines = [re.sub(r"^\w+: (error: |fatal: )?", "", line) for line in said]
    return "; ".join(dict.fromkeys(lines))[:300] or end.complaint


def submit_arguments(name: str, comment: str, options: Sequence[tuple[str, str | None]]) -> list[str]:
    """The options of sbatch for the job `name`; of `options` those that have a value."""
    arguments = ["--parsable", f"--job-name={name}", f"--comment={comment}", "--export=ALL"]
    # one task on one node; what is submitted twice never runs beside itself; who drives it decides on a rerun
    arguments += ["--nodes=1", "--ntasks=1", "--dependency=singleton", "--no-requeue", "--open-mode=truncate"]
    return [*arguments, *(f"--{option}={value}" for option, value in options if value is not None)]
