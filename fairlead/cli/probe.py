"""`fairlead probe`: measure the network between the sites."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli._common import JsonOption, messages, print_json, steps
from federation.units import format_bits_per_second, format_seconds

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
INTERRUPTED = 130


@app.command(
    epilog="Example: fairlead probe run examples/lab-plan.toml --catalogue sites.toml. "
    "Exit status: 0 all tests succeeded, 1 some failed, 2 the plan is wrong, 130 stopped."
)
def run(
    plan: Annotated[Path, typer.Argument(help="The TOML file that says who is tested with whom, and how.")],
    catalogue: Annotated[
        Path | None,
        typer.Option(help="The federation's sites (TOML); as set, else those of the lab that is up."),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="Where results are kept, as a URL; as set if not given.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a plan of tests in rounds without conflicts; every result is kept as soon as it is there."""
    from fairlead.cli._probe import measured_federation, opened_archive
    from netprobe.plan import load_plan

    todo = load_plan(plan)
    federation = measured_federation(catalogue)
    summary = asyncio.run(_run(todo, federation, opened_archive(database)))
    if json:
        print_json(_document(todo.name, summary))
    else:
        typer.echo(_sentence(todo.name, summary))
    if summary.stopped:
        raise typer.Exit(INTERRUPTED)
    if summary.failed:
        raise typer.Exit(SOME_FAILED)


async def _run(plan: Plan, federation: Federation, archive: Archive) -> Summary:
    from federation.clock import SystemClock
    from netprobe.runner import Stopped, run_plan

    task = asyncio.current_task()
    if task is not None:
        # ends the run as Ctrl-C does: tools ended, results kept, and the line that says how far it came
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console = messages()
    with steps(f"plan {plan.name}", 1.0, console) as progress:

        def on_progress(result: Measurement | None, summary: Summary) -> None:
            done = len(summary.results)
            remark = f"{done} of {summary.total} tests, round {summary.round} of {summary.rounds}"
            if summary.failed:
                remark += f", {summary.failed} failed"
            progress.update(done / max(summary.total, 1), remark)
            if result is not None and result.error is not None:
                console.print(f"failed: {result.tool} {result.error}", markup=False, soft_wrap=True)

        try:
            return await run_plan(plan, federation, archive, SystemClock(), on_progress)
        except Stopped as stopped:
            return stopped.summary


def _sentence(name: str, summary: Summary) -> str:
    done = f"{summary.succeeded} of {summary.total} tests succeeded, {summary.failed} failed"
    if summary.stopped:
        left = summary.total - len(summary.results)
        return f"plan {name}: stopped: {done}, {left} not run; what was measured is kept"
    text = f"plan {name}: {done}, in {summary.rounds} rounds and {format_seconds(summary.seconds)}"
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
        "stopped": summary.stopped,
        "rounds": summary.rounds,
        "seconds": summary.seconds,
        "results": [brief(one) for one in summary.results],
    }
