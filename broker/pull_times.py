"""How long images really take to come: what platforms saw of it is kept, and corrects the next offers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine

from broker.images.looking import Images
from broker.images.pulls import Learnt, Pull, keep_pulls, learn, pull_seen, read_pulls
from broker.model import Note
from broker.offers.candidates import Candidate
from broker.offers.images import engine_seconds, pull_note
from broker.platforms import Platform, TellsPulls
from federation.database import write
from federation.units import format_seconds
from netprobe.cost import seconds_for
from netprobe.forecast import Forecast

log = logging.getLogger(__name__)


def keep_told(engine: Engine, platforms: Mapping[str, Platform], images: Images, now: datetime) -> int:
    """Keep the pulls that platforms have seen since; how many. Blocks: the images' registries may be asked.

    A pull of what no registry knows any more says nothing, for nobody knows how large it was.
    """
    told = [
        (site, pulled)
        for site, platform in platforms.items()
        if isinstance(platform, TellsPulls)
        for pulled in platform.pulled()
    ]
    if not told:
        return 0
    looked = images.look((pulled.wanted, pulled.access) for _, pulled in told)
    seen = []
    for site, pulled in told:
        image = looked[pulled.wanted, pulled.access].image
        if image is not None:
            seen.append(pull_seen(site, pulled, image))
    if seen:
        with write(engine) as connection:
            keep_pulls(connection, seen, now)
    return len(seen)


def by_pulls(candidates: Sequence[Candidate], engine: Engine, now: datetime) -> list[Candidate]:
    """The candidates with what earlier pulls say of the time that their images take."""
    sites = {each.site.id for each in candidates if each.pull is not None}
    if not sites:
        return list(candidates)
    with engine.connect() as connection:
        seen = read_pulls(connection, sites, now)
    return [_corrected(each, seen, now) for each in candidates]


def _corrected(candidate: Candidate, seen: Sequence[Pull], now: datetime) -> Candidate:
    pull = candidate.pull
    if pull is None:
        return candidate
    forecast = pull.move.forecast
    own = [each for each in seen if (each.site, each.registry) == (candidate.site.id, pull.image.registry)]
    learnt = learn(
        pull.seconds,
        pull.image.location,
        pull.move.size_bytes,
        own,
        lambda size_bytes, layers: _expected(forecast, size_bytes, layers),
        now,
    )
    if learnt is None:
        return candidate
    pull = replace(pull, seconds=learnt.seconds)
    note = _told(pull_note(pull), learnt, now)
    warnings = tuple(note if each.kind == "image" else each for each in candidate.warnings)
    prepare = candidate.staging.seconds + learnt.seconds
    return replace(candidate, pull=pull, prepare=prepare, warnings=warnings)


def _expected(forecast: Forecast, size_bytes: int, layers: int) -> float:
    """The median of what a pull takes by the path's forecast, as in `broker.offers.images.pull_of`."""
    moved = seconds_for(forecast, size_bytes, layers + 1)
    return moved.p50 + engine_seconds(layers, size_bytes).p50


def _told(note: Note, learnt: Learnt, now: datetime) -> Note:
    """The note on the image, which says what it was corrected by."""
    text = "; {pulls} pulls from there, the newest {age} ago, make it {ratio} times what was forecast"
    values = {
        "pulls": str(learnt.pulls),
        "age": format_seconds((now - learnt.newest).total_seconds()),
        "ratio": f"{float(f'{learnt.ratio:.2g}'):g}",
    }
    if learnt.pulls == 1:
        text = text.replace("pulls from there, the newest", "pull from there,").replace("make", "makes")
    if learnt.present > 0:
        text += "; this image was there already in {present} of the cases"
        values["present"] = f"{learnt.present:.0%}"
    return replace(note, template=note.template + text, values={**note.values, **values})
