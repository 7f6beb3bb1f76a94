"""Asking for offers without a database, over a network that is made up."""

from dataclasses import dataclass
from datetime import timedelta

from broker.offers.engine import find_candidates, make_offers
from broker.offers.refusal import explain
from broker.platforms import load_platform
from federation.clock import ManualClock
from netprobe.forecast import Forecast, Rung
from netprobe.quantiles import Quantiles
from tests.broker.conftest import NOW

LIFETIME = timedelta(minutes=5)
# Mbit/s by (source, destination); the way from Penticton to Lausanne is much worse than the way back
RATES = {("penticton", "lausanne"): 5.0, ("lausanne", "penticton"): 100.0, ("perth", "lausanne"): 80.0}


def forecast(source, destination):
    rate = RATES.get((source, destination), 20.0) * 1e6 if source != destination else 10e9
    return Forecast(
        source,
        destination,
        Quantiles(0.8 * rate, rate, 1.1 * rate),
        0.1,
        8948.0,
        Rung.SAME_SITE if source == destination else Rung.MEASURED,
        6,
        240.0,
        ("iperf3",),
        0,
        Quantiles(1.0, 1.0, 1.0),
        "measured by 6 iperf3 tests, the newest 4 min old",
    )


def load_platforms(federation):
    clock = ManualClock(NOW)
    return {site.id: load_platform(site, federation, clock, "work") for site in federation}


@dataclass(frozen=True)
class Answer:
    """Offers, or a NO with the ways out of it."""

    placements: tuple
    notes: tuple
    ways: tuple = ()


def ask(federation, request, taken=None, lifetime=LIFETIME, platforms=None, **more):
    """The answer to `request` at NOW; `taken` are bookings by site."""
    platforms, taken = platforms or load_platforms(federation), taken or {}
    candidates, reasons = find_candidates(federation, platforms, request, forecast, NOW, {"the": "document"})
    offers = make_offers(candidates, taken, NOW, lifetime, refused=reasons, **more)
    if offers.placements:
        return Answer(offers.placements, offers.notes)
    refusal = explain(offers.notes, candidates, taken, NOW, lifetime)
    return Answer((), refusal.notes, refusal.ways)


def sites(offers):
    return [placement.site_id for placement in offers.placements]


def texts(notes):
    return [note.text for note in notes]


def figure(figures, type_):
    return next(figure for figure in figures if figure.type == type_)


def everywhere(federation, *bookings):
    return {site.id: list(bookings) for site in federation}
