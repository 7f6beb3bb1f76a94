"""`fairlead report accuracy` and `broker`: every format, by real sessions that really moved their data."""

from __future__ import annotations

import asyncio
import csv
import io
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from broker.model import Phase
from broker.platforms.simulated import SimulatedPlatform
from broker.platforms.staging import stage_files
from broker.service import Broker
from federation.sites import Policy
from netprobe.addresses import Allowed
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from tests.broker.conftest import NOW, clock, make_document, make_federation, make_site, settings
from tests.broker.driving import ANN, ENDED, is_in, running, turn
from tests.databases import with_tables
from tests.netprobe.servers import file_server
from tests.reports.promises.making import SINCE, TIMES, moved, run, throughput, written

__all__ = ["clock", "settings"]
FORMATS = "html,pdf,md,csv,parquet,json"
CONTENT = bytes(range(256)) * 4096
AROUND = ["--since", (NOW - timedelta(days=1)).isoformat(), "--until", (NOW + timedelta(days=1)).isoformat()]


class Moving(SimulatedPlatform):
    """Containers are pretended, but data are moved: by the mover, over HTTP, and are measured."""

    def __init__(self, site, federation, clock, work_directory) -> None:
        super().__init__(site, federation, clock, work_directory)
        self.where = (site, clock, work_directory)

    async def stage(self, job_id, wanted, progress):
        site, clock, root = self.where
        return await stage_files(
            site, Allowed(networks=("127.0.0.0/8",)), clock, root, job_id, wanted, progress
        )


@pytest.fixture
def database(tmp_path):
    """The URL of one, and its engine."""
    url = f"sqlite:///{tmp_path / 'fairlead.db'}"
    engine = with_tables(tmp_path / "fairlead.db")
    yield url, engine
    engine.dispose()


def test_what_was_really_moved_is_held_against_what_was_forecast(database, settings, clock, tmp_path) -> None:
    url, engine = database
    store = replace(make_site("store", 46.5, 6.6), data_hosts=("127.0.0.1:*",), platform=None)
    here = replace(make_site("here", 52.0, 5.0), policy=Policy(allowed_networks=("127.0.0.0/8",)))
    for minutes in (5, 20, 35):
        test = throughput(0, 5e9, source="store", destination="here")
        Archive(engine).add([replace(test, started=NOW - timedelta(minutes=minutes))])
    federation = make_federation(store, here)
    platforms = {"here": Moving(here, federation, clock, tmp_path / "here")}
    with file_server(CONTENT) as server:
        broker = Broker(settings, federation, engine, clock, online=False, platforms=platforms)
        taken = []
        for name in ("/good?1", "/good?2", "/good?3"):
            offers = broker.request(make_document(data=(server.url(name),)), ANN).sessions
            taken.append(broker.update_phase(offers[0].uuid, Phase.ACCEPTED, ANN).uuid)
        broker.request(make_document(cores=(1000, None)), ANN)

        async def story() -> None:
            async with running(broker):
                # in small steps, and as long as it takes: the mover needs real time
                await turn(
                    clock,
                    lambda: all(is_in(broker, uuid, *ENDED)() for uuid in taken),
                    step=0.05,
                    turns=40_000,
                )

        asyncio.run(story())
    assert {broker.session(uuid).phase for uuid in taken} == {Phase.COMPLETED}

    out = tmp_path / "out"
    assert run("accuracy", *AROUND, "--database", url, "--format", FORMATS, "--out", str(out)) == 0
    told = written(out, "accuracy")
    assert (told["transfers"], told["judged"], told["verdict"]) == (3, 3, "none")
    for row in told["tables"]["transfers"]:
        assert (row["path"], row["size_bytes"], row["rung"]) == (
            "store to here",
            float(len(CONTENT)),
            "measured",
        )
        assert row["newest_test_age_seconds"] == 300.0
        assert row["last_test_bits_per_second"] == 5e9
        assert row["forecast_seconds_p10"] < row["forecast_seconds_p50"] < row["forecast_seconds_p90"]
        assert row["ratio"] == pytest.approx(row["actual_seconds"] / row["forecast_seconds_p50"])

    assert run("broker", *AROUND, "--database", url, "--format", FORMATS, "--out", str(out)) == 0
    told = written(out, "broker")
    assert (told["requests"], told["yes"], told["accepted"], told["due"]) == (4, 3, 3, 3)
    assert "too few for a verdict, 17 more are needed" in told["headline"]
    assert told["tables"]["use"][0]["moved_bytes"] > 0
    for name in ("accuracy", "broker"):
        assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        rows = list(csv.DictReader(io.StringIO((out / f"{name}.csv").read_text())))
        assert len(rows) == len(pd.read_parquet(out / f"{name}.parquet")) == 3
        page = (out / f"{name}.html").read_text()
        assert "fairlead.db" not in page
        assert "src=" not in page


def filled(url_and_engine) -> str:
    url, engine = url_and_engine
    Archive(engine).add(
        [
            *(throughput(number, 8e8) for number in range(40)),
            *(moved(number + 0.5, 10.0 + number % 4) for number in range(40)),
            Measurement(
                Kind.TRANSFER,
                "a",
                "b",
                SINCE + timedelta(days=3),
                0.1,
                "transfer",
                Origin.STAGING,
                error="a to b: refused",
            ),
        ]
    )
    return url


@pytest.mark.parametrize("name", ["accuracy", "broker"])
def test_the_same_data_and_time_give_the_same_bytes(database, tmp_path, name: str) -> None:
    url, folders = filled(database), [tmp_path / "one" / "out", tmp_path / "two" / "out"]
    for folder in folders:
        # the command stands in the report, so that the folder must be called the same
        assert run(name, *TIMES, "--database", url, "--format", "html,md,csv,json", "--out", str(folder)) == 0
    files = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert files[0] == files[1]
    for file in files[0]:
        first, second = ((folder / file).read_text().replace(str(folder), "") for folder in folders)
        assert first == second


def test_accuracy_tells_of_failures_sites_and_the_backtest(database, tmp_path, capsys) -> None:
    url, out = filled(database), tmp_path / "out"
    common = ["--database", url, "--format", "json", "--out", str(out)]
    assert run("accuracy", *TIMES, *common, "--json") == 0
    printed = capsys.readouterr().out
    assert '"failed": 1' in printed
    assert '"tables"' not in printed
    assert len(written(out, "accuracy")["tables"]["throughput"]) == 1
    assert run("accuracy", *TIMES, *common, "--no-backtest", "--sites", "a,c") == 0
    assert written(out, "accuracy")["headline"].startswith("No transfer began in this time")


@pytest.mark.parametrize("name", ["accuracy", "broker"])
def test_an_empty_database_gives_a_report_that_says_so(database, tmp_path, name: str) -> None:
    out = tmp_path / "out"
    assert run(name, "--database", database[0], "--format", "html,pdf,csv,json", "--out", str(out)) == 0
    told = written(out, name)["headline"]
    assert told.startswith(("No transfer began", "Nothing was asked"))
    assert told in (out / f"{name}.html").read_text()


@pytest.mark.parametrize("name", ["accuracy", "broker"])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--since", "yesterday"], "--since: expected"),
        (["--format", "docx"], "--format: expected html"),
        (
            ["--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
            "--since: expected a time before",
        ),
        (["--sites", ","], "--sites: expected"),
    ],
)
def test_wrong_usage_is_one_line(database, tmp_path, capsys, name: str, wrong: list[str], words: str) -> None:
    assert run(name, "--database", database[0], "--out", str(tmp_path / "out"), *wrong) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert "\n" not in error
