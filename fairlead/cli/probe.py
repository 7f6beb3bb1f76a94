"""`fairlead probe`: measure the network between the sites."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead import stoppable
from fairlead.cli._common import CatalogueOption, DatabaseOption, JsonOption, messages, print_json, steps
from federation.units import format_bits_per_second, format_count, format_seconds

if TYPE_CHECKING:
    from federation.sites import Federation
    from netprobe.archive import Archive
    from netprobe.measurement import Measurement
    from netprobe.plan import Plan
    from netprobe.runner import Summary

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure the network between the sites, and see what was measured.",
    epilog="Example: fairlead probe run examples/lab-plan.toml && fairlead probe matrix",
)

SOME_FAILED = 1


@app.command(
    epilog="Example: fairlead probe run examples/lab-plan.toml --catalogue sites.toml. "
    "Exit status: 0 all tests succeeded, 1 some failed, 2 the plan is wrong, 130 Ctrl-C, 143 SIGTERM."
)
def run(
    plan: Annotated[Path, typer.Argument(help="The TOML file that says who is tested with whom, and how.")],
    catalogue: CatalogueOption = None,
    database: DatabaseOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the last run of this plan, which was stopped.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Run a plan of tests in rounds without conflicts; every result is kept as soon as it is there."""
    from fairlead.cli._probe import measured_federation, opened_database, planned_tests
    from federation.clock import SystemClock
    from netprobe.archive import Archive
    from netprobe.plan import load_plan
    from netprobe.plan_runs import PlanRuns

    todo = load_plan(plan)
    federation = measured_federation(catalogue)
    # what is wrong is told before anything is written
    planned_tests(plan, todo, federation)
    engine = opened_database(database)
    runs = PlanRuns(engine, SystemClock())
    run_id = runs.unfinished(todo) if resume else runs.begin(todo)
    ended = stoppable.run_to_end(_run(todo, federation, Archive(engine), run_id))
    summary = ended.result
    if not summary.stopped:
        runs.finish(run_id)
    if json:
        print_json(_document(todo.name, summary))
    else:
        typer.echo(_sentence(todo.name, summary))
    if summary.stopped:
        raise typer.Exit(ended.exit_status)
    if summary.failed:
        raise typer.Exit(SOME_FAILED)


async def _run(plan: Plan, federation: Federation, archive: Archive, run_id: str) -> Summary:
    from federation.clock import SystemClock
    from netprobe.runner import Stopped, run_plan

    console = messages()
    with steps(f"plan {plan.name}", 1.0, console) as progress:

        def on_progress(result: Measurement | None, summary: Summary) -> None:
            done = summary.earlier + len(summary.results)
            remark = f"{done} of {summary.total} tests, round {summary.round} of {summary.rounds}"
            if summary.failed:
                remark += f", {summary.failed} failed"
            progress.update(done / max(summary.total, 1), remark)
            if result is not None and result.error is not None:
                console.print(f"failed: {result.tool} {result.error}", soft_wrap=True)

        try:
            return await run_plan(plan, federation, archive, SystemClock(), on_progress, run_id=run_id)
        except Stopped as stopped:
            return stopped.summary


def _sentence(name: str, summary: Summary) -> str:
    done = f"{summary.succeeded} of {summary.total} tests succeeded, {summary.failed} failed"
    if summary.earlier:
        done += f", {summary.earlier} had been run before"
    if summary.stopped:
        left = summary.total - summary.earlier - len(summary.results)
        return f"plan {name}: stopped: {done}, {left} not run; what was measured is kept, --resume continues"
    rounds = format_count(summary.rounds, "round")
    text = f"plan {name}: {done}, in {rounds} and {format_seconds(summary.seconds)}"
    rates = [one.figures["bits_per_second"] for one in summary.results if "bits_per_second" in one.figures]
    if rates:
        text += f"; {format_bits_per_second(min(rates))} to {format_bits_per_second(max(rates))}"
    return text


def _document(name: str, summary: Summary) -> dict[str, Any]:
    def brief(one: Measurement) -> dict[str, Any]:
        document = {part.name: getattr(one, part.name) for part in dataclasses.fields(one)}
        del document["raw"]
        return document

    return {
        "plan": name,
        "total": summary.total,
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "earlier": summary.earlier,
        "stopped": summary.stopped,
        "rounds": summary.rounds,
        "seconds": summary.seconds,
        "results": [brief(one) for one in summary.results],
    }
