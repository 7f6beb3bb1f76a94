"""The answers about the network: measurements, forecasts, what came true, comparisons, costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cached_property
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fairlead.api import moving, past
from fairlead.api.frames import FIGURES, judged, of_forecast, of_measurements, table, three
from fairlead.api.opening import Instant, Names, Opened, bytes_of, names
from federation.errors import InputError
from netprobe.forecast import Forecaster, ForecastPath, forecast_from
from netprobe.history import History
from netprobe.measurement import Kind

if TYPE_CHECKING:
    import pandas as pd

    from fairlead.api.space import Space
    from federation.sites import Federation
    from netprobe.forecast import Forecast

# more than any archive has
_MOST = 2**62


class Fairlead:
    """What `fairlead.open` opened. Every method looks at what is there now, and blocks meanwhile.

    Sites are ids of the catalogue, or the names that the archive has where there is no catalogue. Times that
    are asked for are "7d" (so long ago), "2026-01-12 14:00" (UTC) or datetimes; those in answers are UTC.
    Sizes are "10 GB", or numbers of bytes. Quantiles are columns `..._p10`, `..._p50`, `..._p90`. What must
    be known of an answer as a whole is in its `attrs`.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._known: tuple[int, History] | None = None

    def close(self) -> None:
        """Let go of the database. Nothing can be asked after that."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def now(self) -> datetime:
        """The time that answers are of."""
        return self._opened.now

    @property
    def federation(self) -> Federation:
        """The sites, as the catalogue has them."""
        return self._opened.federation

    @cached_property
    def space(self) -> Space:
        """The answers about the clouds' space."""
        from fairlead.api.space import Space

        return Space(self._opened)

    def measurements(
        self,
        kind: str = "throughput",
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        source: str | None = None,
        destination: str | None = None,
    ) -> pd.DataFrame:
        """Every measurement of a kind ("throughput", "latency", "loss", "path", "transfer"), oldest first.

        Columns: `started`, `source`, `destination` (data flows from the first to the second), `tool`,
        `origin` ("scripted", "perfsonar", "pscheduler", "staging"), `archive` that it was pulled from,
        `error` (None where it succeeded), `duration_seconds`; then the figures that such tests give, NaN
        where they are not measured: `bits_per_second`, `rtt_seconds`, `loss_ratio` (0 to 1), `size_bytes`
        and so on, as `netprobe.measurement.Measurement` lists them.
        """
        chosen = _kind(kind)
        self._measured(source, destination)
        begin, end = self._opened.span(since, until)
        found = self._opened.archive.recent(chosen, source, destination, begin, _MOST)
        return of_measurements((one for one in found if one.started < end), chosen)

    def paths(self) -> pd.DataFrame:
        """What every site sends to every other, as far as it was measured: a row for each ordered pair.

        Columns: `source`, `destination`, `bits_per_second` and `rtt_seconds` (medians that count newer tests
        more), and for each of both (`throughput_...`, `round_trip_...`): `state` ("measured", "failed",
        "missing"), `tests`, `failed`, `age_seconds` of the newest, `error` of the newest.
        """
        from reports.matrix import matrix

        return matrix(self._history(), self.federation, self.now).frame()

    def forecast(
        self,
        source: str | None = None,
        destination: str | None = None,
        *,
        size: str | float = "1 GB",
        files: int = 1,
    ) -> pd.DataFrame:
        """How long moving data will take, and how sure that is: a row for each path; None stands for all.

        Columns: `source`, `destination`, `evidence` ("measured", or the rung that it is taken from),
        `bits_per_second_...` and `seconds_...` (quantiles), `rtt_seconds`, `size_bytes`, `files`, `tests` and
        `newest_age_seconds` behind it, real `transfers` that corrected it, `forecaster`, `changed` (when the
        path's rate last moved to another level), and an `explanation` in words.
        """
        size_bytes = bytes_of("size", size)
        if files < 1:
            raise InputError(f"files: expected at least 1, got {files}")
        rows = [
            of_forecast(path, size_bytes, files)
            for path in self._forecasts(self._ends("source", source), self._ends("destination", destination))
        ]
        columns = ("source", "destination", "evidence", *three("bits_per_second"), *three("seconds"))
        return table(rows, columns)

    def backtest(
        self,
        kind: str = "throughput",
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        source: str | None = None,
        destination: str | None = None,
        first: int = 16,
        every: int = 1,
    ) -> pd.DataFrame:
        """Every past test (or `kind="transfer"`), forecast by what its path's archive held just before it.

        From each path's test number `first` on, every `every`-th. Columns: `started`, `source`,
        `destination`, `origin`, `tests` behind the forecast, its `forecaster`; what came, `bits_per_second`
        as measured and `sustained_bits_per_second` after slow start, which is what is forecast (or
        `size_bytes`, `files`, `seconds`); what had been forecast, `forecast_bits_per_second_...` (or
        `forecast_seconds_...`, quantiles); `ratio` of what came to the median forecast, and whether it was
        `inside` the 80 % interval.
        """
        of = _kind(kind, Kind.THROUGHPUT, Kind.TRANSFER)
        chosen = past.Chosen(first, every)
        self._measured(source, destination)
        begin, end = self._opened.span(since, until)
        whole = self._whole(end, source, destination)
        what = "bits_per_second" if of is Kind.THROUGHPUT else "seconds"
        walk = past.rates if of is Kind.THROUGHPUT else past.transfers
        rows = walk(whole, self.federation, chosen, begin)
        found = table(rows, ("started", "source", "destination", what, *three(f"forecast_{what}")))
        return judged(
            found, "sustained_bits_per_second" if of is Kind.THROUGHPUT else what, f"forecast_{what}"
        )

    def transfers(
        self,
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        source: str | None = None,
        destination: str | None = None,
    ) -> pd.DataFrame:
        """Real transfers, beside what had been forecast for them when they were planned.

        Columns: as of `measurements("transfer")`, with `predicted_seconds_...` (quantiles; NaN where nothing
        had been forecast), `ratio` of actual to predicted seconds (median), and whether the actual ones were
        `inside` the 80 % interval (None where nothing had been forecast).
        """
        found = self.measurements(
            "transfer", since=since, until=until, source=source, destination=destination
        ).rename(columns={"predicted_seconds": "predicted_seconds_p50"})
        predicted = three("predicted_seconds")
        about = [name for name in found.columns if name not in predicted]
        found = found.reindex(columns=[*about, *predicted]).astype(dict.fromkeys(predicted, float))
        return judged(found, "seconds", "predicted_seconds")

    def coverage(
        self, template: str | Path, *, since: Instant = "30d", until: Instant | None = None
    ) -> pd.DataFrame:
        """What a pSConfig template asks for against what the archive has: a row for each direction and test.

        Columns: `test`, `source`, `destination`, `state` ("ok", "stale", "failed", "missing"), `expected`,
        `succeeded` and `failed` results in that time, the `newest`, `repeat_seconds` (how often it is to be
        tested). `attrs["problems"]`: what is wrong in the template.
        """
        from fairlead.api.comparing import expected_of
        from netprobe.coverage import coverage

        begin, end = self._opened.span(since, until)
        expected, problems = expected_of(template)
        found = coverage(self._opened.engine, expected, begin, end, self._opened.known_federation)
        rows = ({**asdict(cell), "state": cell.state.value} for cell in found.cells)
        columns = ("test", "source", "destination", "state", "expected", "succeeded", "failed", "newest")
        return table(rows, (*columns, "repeat_seconds"), problems=problems)

    def compare(
        self,
        *,
        since: Instant = "30d",
        until: Instant | None = None,
        sites: Names | None = None,
        quantities: Names = ("throughput", "latency", "loss"),
        margin: float = 0.1,
        loss_margin: float = 0.001,
        template: str | Path | None = None,
    ) -> pd.DataFrame:
        """Whether scripted tests and the perfSONAR mesh agree: a row for each path and quantity, worst first.

        Columns: `quantity`, `source`, `destination`, `verdict` ("disagree", "not settled", "agree", "too few
        tests", "one side only"), `causes`, `words`, `try_next`; `ratio` of the mesh to the scripted tests
        with its interval (`ratio_low`, `ratio_high`; of loss: differences), both sides' summaries
        (`scripted_median` and so on, in bit/s, seconds, or shares), and the statistics behind the verdict,
        as `fairlead report compare --format csv` writes them. `margin` and `loss_margin` are what still
        counts as the same. `template`: a pSConfig template says how much the mesh was to measure. `attrs`:
        `headline`, `remarks`.
        """
        from fairlead.api.comparing import compared, expected_of

        between = names("sites", sites)
        self._opened.measured("sites", between or ())
        begin, end = self._opened.span(since, until)
        expected = [] if template is None else expected_of(template)[0]
        return compared(
            self._opened,
            (begin, end),
            between,
            names("quantities", quantities) or [],
            (margin, loss_margin),
            expected,
        )

    def moves(self, files: moving.Files, destination: str) -> pd.DataFrame:
        """Bringing files to a site: from which replica each is best taken, and how long that takes.

        `files`: for each name its size and the sites that have it: `{"cube.fits": ("15 GB", ["perth"])}`.
        Columns: `file`, `size_bytes`, `source`, `destination`, `seconds_...` (quantiles, as if it came
        alone), `bits_per_second_...` of the path, and the `evidence`.
        """
        plan = moving.staging(self._opened, self._forecaster(), files, destination)
        return table((moving.move_row(one) for one in plan.moves), moving.MOVE_COLUMNS)

    def rank(self, files: moving.Files, destinations: Names | None = None) -> pd.DataFrame:
        """The sites (None: all) by how soon all of these files can be there, best first. `files` as in
        `moves`.

        Columns: `site`, `seconds_...` until all are there (quantiles), `size_bytes` of all, `moved_bytes`
        that have to cross the network, `price` of moving them (in the federation's currency), `sources` that
        they come from.
        """
        forecast = self._forecaster()
        chosen = names("destinations", destinations) or list(self.federation.sites)
        plans = [moving.staging(self._opened, forecast, files, site) for site in chosen]
        rows = [moving.rank_row(self.federation[one.destination], one) for one in plans]
        rows.sort(key=lambda row: (row["seconds_p90"], row["price"]))
        return table(rows, moving.RANK_COLUMNS)

    def _measured(self, source: str | None, destination: str | None) -> None:
        for argument, site in (("source", source), ("destination", destination)):
            self._opened.measured(argument, () if site is None else (site,))

    def _ends(self, argument: str, site: str | None) -> list[str]:
        return list(self.federation.sites) if site is None else [self._opened.site(argument, site).id]

    def _forecasts(self, sources: Iterable[str], destinations: Sequence[str]) -> Iterable[Forecast]:
        forecast = self._forecaster()
        for source, destination in product(sources, destinations):
            if source != destination:
                yield forecast(source, destination)

    def _forecaster(self) -> ForecastPath:
        if not self._opened.replayed:
            return self._system_forecaster
        history, now = self._history(), self.now
        return lambda source, destination: forecast_from(history, self.federation, source, destination, now)

    @cached_property
    def _system_forecaster(self) -> Forecaster:
        return Forecaster(self._opened.archive, self.federation, self._opened.clock)

    def _history(self) -> History:
        """What forecasts look at now; read, and learnt from, again only when something was added."""
        archive = self._opened.archive
        if not self._opened.replayed:
            return archive.history()
        version = archive.version()
        if self._known is None or self._known[0] != version:
            self._known = version, self._whole(self.now).before(self.now)
        return self._known[1]

    def _whole(self, until: datetime, source: str | None = None, destination: str | None = None) -> History:
        """All that began before then, of these paths."""
        archive = self._opened.archive
        return History.of(
            one
            for kind in (Kind.THROUGHPUT, Kind.LATENCY, Kind.TRANSFER)
            for one in archive.recent(kind, source, destination, None, _MOST)
            if one.started < until
        )


def _kind(text: str, *allowed: Kind) -> Kind:
    kinds = [one.value for one in allowed or FIGURES]
    if text not in kinds:
        raise InputError(f"kind: expected one of {', '.join(kinds)}, got {text!r}")
    return Kind(text)
