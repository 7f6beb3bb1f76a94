"""What became of a Slurm job, in words: out of what its script wrote down, and what Slurm says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from broker.model import Job
from broker.platforms import State, Status, Waiting
from broker.platforms.slurm_jobs import ENDINGS, SlurmJob
from broker.platforms.slurm_podman import OUT_OF_MEMORY
from broker.platforms.slurm_script import Ended

# why a job waits (squeue's Reason), by how that begins: patterns
REASONS: Sequence[tuple[str, str]] = (
    ("Resources", "the nodes are busy"),
    ("Priority", "other jobs come first"),
    ("ReqNodeNotAvail", "nodes that it needs are out of use"),
    ("Nodes required", "nodes that it needs are out of use"),
    ("Reservation(Deleted| .* was deleted)", "its reservation is over"),
    ("Reservation", "its reservation has not begun"),
    ("Dependency", "an earlier job of the session has not ended yet"),
    ("BeginTime", "its time has not come yet"),
    ("PartitionDown", "its partition is down"),
    ("PartitionInactive", "its partition is inactive"),
    ("PartitionNodeLimit", "its partition allows no such job"),
    ("PartitionTimeLimit", "its partition allows no job that lasts so long"),
    ("JobHeld", "it is held back by somebody at the site"),
    ("BadConstraints", "no node has what it asks for"),
    ("Assoc", "a limit of its account is reached"),
    ("QOS", "a limit of its quality of service is reached"),
    ("MaxGRES", "a limit of its account is reached"),
)
KILLED, TERMINATED = 137, 143
ABOUT_NODES = ("ReqNodeNotAvail", "Nodes required", "Resources")


def waiting(job: SlurmJob, nodes: Sequence[str]) -> Waiting:
    """Why a job that is in the queue doesn't run. `nodes`: those that are out of use, and why."""
    if job.reason is None:
        return Waiting("Slurm has not looked at it yet", job.start)
    meaning = next((text for begins, text in REASONS if re.match(begins, job.reason)), "Slurm lets it wait")
    out = f"; out of use: {'; '.join(nodes)}" if nodes and job.reason.startswith(ABOUT_NODES) else ""
    return Waiting(f"{meaning} ({job.reason}){out}", job.start)


def needs_verdict(ended: Ended) -> bool:
    """Whether the script can't know why the container ended: Slurm has to be asked."""
    return ended.stopped or ended.exit_code == KILLED


def ended_status(
    job: Job,
    ended: Ended | None,
    found: SlurmJob | None,
    stopped: str | None,
    output: tuple[str, str],
    nodes: Sequence[str] = (),
    slurm_output: str = "",
) -> Status:
    """The status of a job that is over: by its script (`ended`), by Slurm (`found`), or by both.

    `stopped`: why this broker stopped it, empty where its session was to end; None: it didn't. `nodes`: what
    is wrong with the job's node. `slurm_output`: what was said where the script itself failed.
    """
    code = ended.exit_code if ended is not None else None
    if code is None and found is not None and found.exit_code:
        code = found.exit_code
    if code is None and stopped is not None:
        # it was still in the queue: as a container that ends at SIGTERM
        code = TERMINATED
    stdout, stderr = output
    return Status(
        State.EXITED, code, stdout, stderr, _problem(job, ended, found, stopped, nodes, slurm_output)
    )


def _problem(
    job: Job,
    ended: Ended | None,
    found: SlurmJob | None,
    stopped: str | None,
    nodes: Sequence[str],
    slurm_output: str,
) -> str | None:
    if stopped is not None:
        return stopped or None
    words = {"memory": job.memory_gib, "node": (found.node if found else None) or "at the site"}
    if ended is not None and ended.reason:
        reason = ENDINGS["OUT_OF_MEMORY"] if ended.reason == OUT_OF_MEMORY else ended.reason
        return reason.format(**words) if ended.reason == OUT_OF_MEMORY else reason
    if ended is not None and not needs_verdict(ended):
        return None
    if found is None or not found.over:
        return "its Slurm job was ended from outside" if ended is not None and ended.stopped else None
    meaning = ENDINGS[found.state].format(**words)
    if meaning:
        return f"{meaning}: {'; '.join(nodes)}" if nodes and found.state in NODE_FAILURES else meaning
    if ended is not None:
        return None
    said = f": {slurm_output}" if slurm_output else ""
    return f"its Slurm job {found.number} ended on {words['node']} before the container could begin{said}"


NODE_FAILURES = ("NODE_FAIL", "BOOT_FAIL")
