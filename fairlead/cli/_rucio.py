"""`fairlead probe distances --rucio`: what was measured, written into Rucio's own distances."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fairlead.cli._common import ask, messages, output, print_json, steps
from federation.errors import InputError, OutsideError

if TYPE_CHECKING:
    from broker.catalogues.rucio_distances import Change
    from federation.sites import Federation
    from netprobe.distances import Distance


def write_distances(found: list[Distance], federation: Federation, yes: bool, as_json: bool) -> None:
    """Show what would change, ask, and write it. Raises InputError and OutsideError."""
    from broker.catalogues.rucio_client import Rucio
    from broker.catalogues.rucio_distances import changes, write
    from broker.catalogues.rucio_options import chosen_server
    from netprobe.distances import for_rucio

    rucio = Rucio(chosen_server(federation, None))
    wanted = for_rucio(found, federation)
    if not wanted:
        raise InputError(f"{federation.name}: expected two sites with `rses`, found no distance to write")
    with in_words():
        todo = changes(rucio, wanted)
    if as_json:
        print_json([_document(each) for each in todo])
    else:
        _show(todo)
    if not todo:
        messages().print(f"{rucio.where} has all {len(wanted)} distances already")
        return
    question = f"Write {len(todo)} distances to {rucio.where}? [y/N]"
    if not yes and ask(question, default="n", show_default=False).strip().lower() not in ("y", "yes"):
        messages().print("nothing was written")
        return
    with in_words(), steps("writing distances", len(todo)) as progress:
        write(rucio, todo, lambda done: progress.update(done, f"{done} of {len(todo)}"))
    messages().print(f"{len(todo)} distances written to {rucio.where}")


@contextmanager
def in_words() -> Iterator[None]:
    """Rucio's errors as those of a command."""
    from broker.catalogues.rucio_client import NotThereError
    from broker.catalogues.rucio_tokens import RucioError

    try:
        yield
    except NotThereError as error:
        raise InputError(str(error)) from None
    except RucioError as error:
        raise OutsideError(str(error)) from None


def _document(change: Change) -> dict[str, Any]:
    return {
        "source": change.source,
        "destination": change.destination,
        "before": change.before,
        "distance": change.after,
    }


def _show(todo: list[Change]) -> None:
    from rich.table import Table

    table = Table(title="Distances that change", title_justify="left")
    for heading in ("from", "to", "before", "measured"):
        table.add_column(heading, justify="left" if heading in ("from", "to") else "right")
    for each in todo:
        before = "none" if each.before is None else f"{each.before:g}"
        table.add_row(each.source, each.destination, before, str(each.after))
    if todo:
        output().print(table)
