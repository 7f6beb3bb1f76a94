"""`fairlead probe watch`: a plan as a service."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead import stoppable
from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption, messages, print_json
from federation.units import format_count, format_seconds, format_size

if TYPE_CHECKING:
    from datetime import datetime

    from federation.sites import Federation
    from netprobe.archive import Archive
    from netprobe.measurement import Measurement
    from netprobe.plan import Plan
    from netprobe.plan_summary import PlanSummary
    from netprobe.watch import Status

app = typer.Typer()


@app.command(
    epilog="Example: fairlead probe watch plan.toml --dry-run. "
    "Exit status: 0 for --dry-run, 2 the plan is wrong, 130 Ctrl-C, 143 SIGTERM."
)
def watch(
    plan: Annotated[Path, typer.Argument(help="The TOML file; its blocks with `every` are run.")],
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run, how often and how much, and end.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run a plan as a service: each block again and again, by its calendar and within the budget."""
    from fairlead.cli._probe import measured_federation, opened_archive, planned_tests
    from federation.clock import SystemClock
    from federation.errors import InputError
    from netprobe.budget import Ledger
    from netprobe.history import History
    from netprobe.plan import load_plan
    from netprobe.plan_summary import summarise

    todo = load_plan(plan)
    if all(block.every_seconds is None for block in todo.blocks):
        raise InputError(f'{plan}: nothing to watch: expected a block with `every = "6 h"` or the like')
    federation = measured_federation(catalogue)
    planned = planned_tests(plan, todo, federation)
    archive = opened_archive(database)
    now = SystemClock().now()
    summary = summarise(todo, planned, Ledger.of(todo.budgets, History({}), archive.history(5)), now)
    if json:
        print_json({"plan": todo.name, **dataclasses.asdict(summary)})
    else:
        for line in _lines(summary, now):
            typer.echo(line)
    if dry_run:
        return
    ended = stoppable.run_to_end(_watch(todo, federation, archive))
    status = ended.result
    typer.echo(f"plan {todo.name}: stopped: {_counts(status)}; what was measured is kept", err=True)
    raise typer.Exit(ended.exit_status)


async def _watch(plan: Plan, federation: Federation, archive: Archive) -> Status:
    import asyncio

    from federation.clock import SystemClock
    from netprobe.watch import Status, watch

    console = messages()
    clock = SystemClock()
    latest = Status()
    with console.status("") as line:

        def on_status(result: Measurement | None, status: Status) -> None:
            nonlocal latest
            if status.problem is not None and status.problem != latest.problem:
                console.print(f"the archive: {status.problem}", soft_wrap=True)
            if result is not None and result.error is not None:
                console.print(f"failed: {result.tool} {result.error}", soft_wrap=True)
            ended = latest.running and not status.running
            latest = status
            text = f"plan {plan.name}: {_counts(status)}, {_next(status, clock.now())}"
            line.update(text.replace("[", r"\["))
            # no terminal, no status line: then a line a round
            if ended and not console.is_terminal:
                console.print(text, soft_wrap=True)

        try:
            await watch(plan, federation, archive, clock, on_status)
        except asyncio.CancelledError:
            return latest
    raise AssertionError("a watcher ends only when it is cancelled")


def _counts(status: Status) -> str:
    text = f"{status.succeeded} tests succeeded, {status.failed} failed"
    if status.over_budget:
        text += f", {status.over_budget} wait for the budget"
    if status.unstored:
        text += f", {status.unstored} wait for the archive"
    return text


def _next(status: Status, now: datetime) -> str:
    if status.running:
        return f"{status.running} running"
    if status.due is None:
        return "next now"
    return f"next in {format_seconds(max((status.due - now).total_seconds(), 0.0))}"


def _when(due: datetime | None, now: datetime) -> str:
    if due is None:
        return "its calendars are never open together"
    return "open now" if due <= now else f"next in {format_seconds((due - now).total_seconds())}"


def _lines(summary: PlanSummary, now: datetime) -> list[str]:
    lines = []
    for block in summary.blocks:
        text = f"{block.where}: {format_count(block.tests, 'test')} with {block.tool}"
        if block.every_seconds is None:
            lines.append(f"{text}, not watched: it has no `every`")
            continue
        text += f" every {format_seconds(block.every_seconds)}"
        if block.bytes_per_day:
            text += f", at most {format_size(block.bytes_per_day)} in 24 h"
        lines.append(f"{text}, {_when(block.due, now)}")
    for found in summary.budgets:
        asked, limit = format_size(found.bytes_per_day), format_size(found.limit_bytes)
        fits = "fits" if found.bytes_per_day <= found.limit_bytes else "tests will be left out"
        lines.append(f"budget {found.budget}: {found.heaviest} needs {asked} of {limit} in 24 h: {fits}")
    lines.append(f"all at once: {format_count(summary.rounds, 'round')}")
    return lines
