"""The federation as a map: its sites, and both directions of every path that was tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from federation.sites import Federation, Site
from reports.matrix import State
from reports.pages.atlas import View
from reports.pages.map_layout import (
    NARROW,
    WIDE,
    Curve,
    Layout,
    Mark,
    Name,
    Size,
    crowd_name,
    laid_out,
)
from reports.pages.mesh_cells import Shown

# paths in one map from which on they are drawn thinner
MANY = 120
# paths that are drawn at most: more are no picture any more, and no page that a browser likes
MOST = 1000


@dataclass(frozen=True)
class Link:
    """One direction of a path."""

    shown: Shown
    curve: Curve


@dataclass(frozen=True)
class Picture:
    """One map. `kind`: for which window, `id` is its name within the page. Links are in the order in which
    they are painted; `crowds` say where sites have no names, for a closer look has them."""

    kind: str
    id: str
    title: str
    view: View
    size: Size
    marks: tuple[tuple[Site, Mark], ...]
    links: tuple[Link, ...]
    crowds: tuple[tuple[str, Name], ...]

    @property
    def many(self) -> bool:
        """Whether thinner lines are easier to tell apart."""
        return len(self.links) > MANY


def pictures(
    federation: Federation, shown: Mapping[tuple[str, str], Shown], site: str | None
) -> list[Picture]:
    """The maps for a window, and the same for a phone: first all sites, then those that stand too near to
    each other there. Of a federation without sites, none.

    `site`: only paths from and to this one are shown. Of more than MOST, those that fail and the slowest.
    """
    tested = [each for each in shown.values() if each.tested and site in (None, *each.ends)]
    # what is slow stands over what is fast, and what fails over both
    tested.sort(key=lambda each: (each.failing, -(each.shade or 0)))
    tested = tested[-MOST:]
    found = []
    for kind, size in (("large", WIDE), ("small", NARROW)):
        sites = list(federation)
        if not sites:
            continue
        whole = _layout(sites, size)
        found.append(_picture(kind, f"Map of {federation.name}", sites, tested, whole))
        for number, (numbers, _) in enumerate(whole.crowds, 1):
            some = [sites[each] for each in numbers]
            title = f"{len(some)} sites that are near to each other"
            found.append(_picture(f"{kind}-{number}", title, some, tested, _layout(some, size)))
    return found


def _layout(sites: Sequence[Site], size: Size) -> Layout:
    return laid_out(tuple((each.name, each.place) for each in sites), size)


def _picture(
    name: str, title: str, sites: Sequence[Site], tested: Sequence[Shown], layout: Layout
) -> Picture:
    numbers = {site.id: number for number, site in enumerate(sites)}
    together = {frozenset(pair) for some, _ in layout.crowds for pair in permutations(some, 2)}
    links = []
    for each in tested:
        source, destination = (numbers.get(end) for end in each.ends)
        # paths within a crowd are in the closer look at it
        if source is None or destination is None or frozenset((source, destination)) in together:
            continue
        links.append(Link(each, layout.curve(source, destination)))
    return Picture(
        kind=name.partition("-")[0],
        id=name,
        title=title,
        view=layout.view,
        size=layout.size,
        marks=tuple(zip(sites, layout.marks, strict=True)),
        links=tuple(links),
        crowds=tuple((crowd_name(some), where) for some, where in layout.crowds),
    )


def summed_up(shown: Mapping[tuple[str, str], Shown], sites: int) -> str:
    """The map in a sentence, for who can't see it."""
    paths = [each for each in shown.values() if each.cell.state is not State.SELF]
    measured = [each for each in paths if each.shade is not None]
    parts = [f"{sites} sites; {len(measured)} of {len(paths)} paths measured"]
    for count, words in (
        (sum(each.old for each in measured), "measured long ago"),
        (sum(each.failing for each in paths), "failing"),
    ):
        if count:
            parts.append(f"{count} {words}")
    return ", ".join(parts)
