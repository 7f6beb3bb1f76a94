"""`fairlead site`: look at the catalogue of sites."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli._common import JsonOption, messages, output, print_json
from fairlead.cli.site_nesting import nesting

if TYPE_CHECKING:
    from federation.sites import Federation

app = typer.Typer(
    no_args_is_help=True,
    help="The sites of the federation.",
    epilog="Example: fairlead site check sites.toml",
)


@app.callback()
def _group() -> None:
    pass


@app.command()
def check(
    catalogue: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CATALOGUE|SITE]",
            help="The catalogue (TOML); without it that of FAIRLEAD_CATALOGUE, else the built-in one. Or a "
            "site of these: what containers can do there, as `site nesting` finds out.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            help="Say which sites can run this container image, and why others can't; with a SITE, try it "
            "with this image.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Load a catalogue of sites, say what is wrong with it, and show its sites; or try one site.

    The file federation/data/example.toml of the installation explains every field.

    \b
    Example:
      fairlead site check sites.toml
      fairlead site check sites.toml --image images.canfar.net/skaha/terminal:1.1.2
      fairlead site check perth --image quay.io/podman/stable
    """
    from dataclasses import asdict

    from federation.catalogue import builtin_federation, load_federation
    from federation.settings import load_settings
    from federation.units import format_count, format_size

    if catalogue is not None and not catalogue.exists():
        from fairlead.cli._probe import known_federation

        if str(catalogue) in (known_federation(None) or builtin_federation()).sites:
            nesting(str(catalogue), image=image, as_json=as_json)
            return
    chosen = catalogue or load_settings(None, os.environ).catalogue
    federation = builtin_federation() if chosen is None else load_federation(chosen)
    if image is not None:
        _who_can_run(federation, image, as_json)
        return
    if as_json:
        print_json(asdict(federation))
        return
    from rich.table import Table

    title = f"{federation.name}: {format_count(len(federation.sites), 'site')}"
    table = Table(title=title, title_justify="left")
    for heading in ("id", "name", "place", "RSEs", "iperf3", "platform", "cores", "memory", "storage"):
        table.add_column(heading, justify="right" if heading in ("cores", "memory", "storage") else "left")
    for site in federation:
        platform = site.platform
        table.add_row(
            site.id,
            site.name,
            f"{site.place.latitude:.2f}, {site.place.longitude:.2f}",
            " ".join(site.rses) or "-",
            f"{site.iperf3_address}:{site.iperf3_port}" if site.iperf3_address else "-",
            platform.kind if platform else "-",
            str(platform.cores) if platform else "-",
            format_size(platform.memory_gib * 2**30) if platform else "-",
            format_size(platform.storage_gib * 2**30) if platform else "-",
        )
    output().print(table)


def _who_can_run(federation: Federation, image: str, as_json: bool) -> None:
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from fairlead.can_run import who_can_run

    with TemporaryDirectory(prefix="fairlead-") as directory, messages().status("Asking the sites"):
        answers = who_can_run(federation, image, Path(directory))
    if as_json:
        print_json([asdict(answer) for answer in answers])
        return
    from rich.table import Table

    table = Table(title=f"Who can run {image}", title_justify="left", show_lines=True)
    for heading in ("site", "platform", "can run it", "why not"):
        table.add_column(heading)
    words = {True: "yes", False: "no", None: "not known"}
    for answer in answers:
        reasons = "; ".join(answer.reasons)
        table.add_row(answer.site, answer.platform, words[answer.can_run], reasons or "-")
    output().print(table)
