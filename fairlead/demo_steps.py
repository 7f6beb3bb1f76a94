"""Steps 2 to 4 of the demo: a federation, its measurements, a broker."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fairlead import stoppable
from fairlead.cli._common import steps
from fairlead.served import Served, start
from fairlead.telling import Telling
from federation import __file__ as federation_package
from federation.catalogue import builtin_federation, load_federation
from federation.clock import SystemClock
from federation.database import connect, upgrade
from federation.sites import Federation
from federation.units import format_count, format_seconds
from netprobe.archive import Archive
from netprobe.measurement import Measurement

BUILTIN = Path(federation_package).with_name("data") / "simulated.toml"


@dataclass(frozen=True)
class Stage:
    """Where the story is told: the sites (`catalogue` None: the built-in ones), and the archive."""

    federation: Federation
    catalogue: Path | None
    archive: Archive
    database_url: str


def federation(telling: Telling, stack: ExitStack) -> Stage:
    """Step 2. What it starts is ended by `stack`."""
    if telling.simulated:
        telling.step(2, "A federation: the built-in, simulated one")
        telling.command("fairlead site check")
        sites, catalogue = builtin_federation(), None
    else:
        telling.step(2, "A federation on one machine")
        telling.command("fairlead lab up")
        catalogue = _lab(telling, stack)
        sites = load_federation(catalogue)
    telling.say("sites: " + ", ".join(site.name for site in sites))
    # stays when the lab has gone, so that the archive can still be looked at
    shutil.copyfile(catalogue or BUILTIN, telling.output / "sites.toml")
    url = f"sqlite:///{(telling.output / 'fairlead.db').resolve()}"
    engine = connect(url)
    stack.callback(engine.dispose)
    upgrade(engine)
    return Stage(sites, catalogue, Archive(engine), url)


def _lab(telling: Telling, stack: ExitStack) -> Path:
    from lab import lab

    if lab.status() is None:
        stack.callback(lab.down)
    else:
        telling.say("a lab is up already: it is used, and left as it is")
    began = time.monotonic()
    status = lab.up()
    telling.say(f"up in {time.monotonic() - began:.1f} s: network namespaces, joined by an emulated network")
    return status.catalogue


def measure(telling: Telling, stage: Stage) -> None:
    """Step 3: measurements into the archive, then the mesh as a table and as a picture."""
    telling.step(3, "Measure it")
    if telling.simulated:
        from netprobe.recorded import load_recorded

        added = load_recorded(stage.archive, SystemClock().now())
        telling.say(f"recorded: {added} results that were once measured on the lab")
    else:
        telling.command(f"fairlead probe run {os.path.relpath(telling.plan)} --catalogue {stage.catalogue}")
        _probe(telling, stage)
    show_matrix(telling, stage)


def _probe(telling: Telling, stage: Stage) -> None:
    from netprobe.plan import expand, load_plan
    from netprobe.runner import Summary, run_plan

    plan = load_plan(telling.plan)
    total = len(expand(plan, stage.federation))
    with steps("   measuring", total, telling.console) as progress:

        def told(result: Measurement | None, summary: Summary) -> None:
            remark = f"{result.tool} {result.source} -> {result.destination}" if result else ""
            if result is not None and result.error:
                telling.say(result.error)
            progress.update(len(summary.results), remark)

        summary = stoppable.run(run_plan(plan, stage.federation, stage.archive, SystemClock(), told))
    telling.say(
        f"{summary.succeeded} of {summary.total} tests in {format_count(summary.rounds, 'round')} "
        f"without a conflict, {format_seconds(summary.seconds)}"
    )


def show_matrix(telling: Telling, stage: Stage) -> None:
    """The mesh as a table, and as a heat map in the output directory."""
    from fairlead.cli.probe_results import show
    from reports.heatmap import draw
    from reports.matrix import matrix

    clock = SystemClock()
    mesh = matrix(stage.archive.history(), stage.federation, clock.now())
    picture = telling.output / "matrix.png"
    telling.command(f"fairlead probe matrix --png {telling.shown_output}/matrix.png")
    show(mesh, telling.console)
    draw(mesh, picture, clock.now())
    telling.say(f"the same as a heat map: {telling.shown_output}/matrix.png")


def image(telling: Telling, stack: ExitStack) -> None:
    """The example's container image, made on the spot; removed by `stack` unless somebody else needs it."""
    from fairlead.demo_image import borrow_checksum_image

    telling.say(f"image made from nothing but a static busybox: {borrow_checksum_image(stack)}")


def serve(telling: Telling, stage: Stage, stack: ExitStack) -> Served:
    """Step 4. The broker reads the archive that step 3 has filled; `stack` ends it."""
    telling.step(4, "Serve")
    log = telling.output / "server.log"
    if stage.catalogue is None:
        telling.command("fairlead serve --simulated")
        broker = start(["--simulated"], log)
    else:
        telling.command(f"fairlead serve --catalogue {stage.catalogue}")
        work = telling.output / "work"
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        environment = {
            "FAIRLEAD_DATABASE_URL": stage.database_url,
            "FAIRLEAD_WORK_DIRECTORY": str(work.resolve()),
        }
        broker = start(["--catalogue", str(stage.catalogue)], log, environment)
    stack.callback(broker.stop)
    telling.say(f"answers at {broker.url}")
    return broker
