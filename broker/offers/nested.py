"""Requests that make containers inside of their own go only where that is known to work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from broker.model import Level, Note
from broker.nesting import Nesting
from broker.nesting.needs import check_nesting
from broker.offers.candidates import Candidate


def able(
    candidates: Sequence[Candidate], known: Mapping[str, Nesting]
) -> tuple[list[Candidate], tuple[Note, ...]]:
    """The candidates whose sites let the request's containers make those that it names, and why not others.

    `known` is by site. A site's own broker is handed the request as it is, and answers for itself.
    """
    found: list[Candidate] = []
    reasons: list[Note] = []
    for candidate in candidates:
        if candidate.ready is not None:
            found.append(candidate)
            continue
        site = candidate.site.id
        notes = check_nesting(site, candidate.request.executable, known.get(site))
        refused = [note for note in notes if note.level is Level.ERROR]
        reasons += refused
        if not refused:
            found.append(replace(candidate, warnings=(*candidate.warnings, *notes)))
    return found, tuple(reasons)
