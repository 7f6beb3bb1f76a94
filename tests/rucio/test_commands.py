"""`fairlead data where` and `fairlead probe distances --rucio`, on a real Rucio."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import build, main
from federation.errors import FairleadError, InputError, OutsideError
from tests.ports import free_port
from tests.rucio.conftest import World
from tests.rucio.storage import content

Run = Callable[..., Result]
SITE = """
[sites.{id}]
name = "{id}"
latitude = {latitude}
longitude = 0
rses = {rses}
"""


@pytest.fixture
def catalogue(world: World, tmp_path: Path) -> Path:
    text = 'name = "test"\n'
    for number, site in enumerate(world.federation):
        text += SITE.format(id=site.id, latitude=10 * number, rses=json.dumps(site.rses))
    text += "[catalogues.rucio]\n"
    text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in world.rucio.options.items())
    path = tmp_path / "sites.toml"
    path.write_text(text)
    return path


@pytest.fixture
def run(catalogue: Path, tmp_path: Path) -> Run:
    def run(group: str, *arguments: str, answer: str | None = None) -> Result:
        where = ["--catalogue", str(catalogue), "--database", f"sqlite:///{tmp_path}/fairlead.db"]
        result = CliRunner().invoke(build(group), [group, *arguments, *where], input=answer)
        if isinstance(result.exception, FairleadError):
            raise result.exception
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_each_site_is_told_with_what_it_has_and_lacks(world: World, run: Run) -> None:
    names = world.dataset("told", A1=range(6), A2=range(5, 8), B=range(4, 10), ROOT=range(1))
    document = json.loads(run("data", "where", "sky:told", "--json").stdout)
    assert (document["type"], document["files"]) == ("DATASET", 10)
    sites = {each["site"]: each for each in document["sites"]}
    assert {id_: (each["files"], each["missing_files"]) for id_, each in sites.items()} == {
        "a": (8, 2),
        "b": (6, 4),
        "c": (0, 10),
    }
    size = [len(content(name)) for name in names]
    assert sites["a"]["missing_bytes"] == sum(size[8:])
    assert [(one["site"], one["files"]) for one in sites["a"]["sources"]] == [("b", 2)]
    assert {one["site"] for one in sites["c"]["sources"]} == {"a", "b"}
    assert sum(one["files"] for one in sites["c"]["sources"]) == 10
    for each in sites.values():
        assert 0 < each["seconds"]["p10"] <= each["seconds"]["p50"] <= each["seconds"]["p90"]
    shown = run("data", "where", "sky:told").stdout
    assert "sky:told: DATASET, 10 files" in shown
    assert "ROOT (b): 1 file, " in shown
    assert "by root alone" in shown


def test_whether_all_of_it_is_at_a_site_is_the_exit_status(world: World, run: Run) -> None:
    world.dataset("asked", A1=range(3), B=range(2))
    assert run("data", "where", "sky:asked", "--site", "a").exit_code == 0
    assert run("data", "where", "sky:asked", "--site", "b").exit_code == 1


def test_what_nobody_has_is_told(world: World, run: Run) -> None:
    [name, _] = world.dataset("lost-one", A1=range(2))
    world.admin.lost("A1", "sky", name)
    result = run("data", "where", "sky:lost-one", "--site", "a", "--json")
    assert result.exit_code == 1
    [site] = json.loads(result.stdout)["sites"]
    assert (site["files"], site["missing_files"], site["nowhere_files"], site["seconds"]) == (1, 1, 1, None)


def test_more_files_than_can_be_listed_are_counted(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.dataset("many", A1=range(6), A2=range(4, 8), B=range(8))
    monkeypatch.setattr("broker.catalogues.rucio_placement.MOST_FILES", 5)
    sites = {
        each["site"]: each for each in json.loads(run("data", "where", "sky:many", "--json").stdout)["sites"]
    }
    assert [sites["a"][key] for key in ("files", "missing_files", "exact")] == [6, 2, False]
    assert [sites["b"][key] for key in ("files", "missing_files", "exact")] == [8, 0, True]
    assert "at least 6 files" in run("data", "where", "sky:many").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sky:no-such"], "doesn't know it"),
        (["sky"], "expected an identifier in Rucio, SCOPE:NAME"),
        (["sky:a", "--site", "z"], "expected one of a, b, c"),
        (["sky:a", "--endpoint", "https://other.example.org"], "expected one of http://127.0.0.1"),
    ],
)
def test_wrong_questions_are_one_line(world: World, run: Run, arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        run("data", "where", *arguments)
    assert "\n" not in str(error.value)


def test_a_rucio_that_is_away_is_an_outside_failure(
    world: World,
    run: Run,
    catalogue: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = catalogue.read_text().replace(world.rucio.url, f"http://127.0.0.1:{free_port()}")
    catalogue.write_text(text)
    with pytest.raises(OutsideError, match="Connection refused"):
        run("data", "where", "sky:a")
    with pytest.raises(SystemExit) as left:
        main(["data", "where", "sky:a", "--catalogue", str(catalogue)])
    assert left.value.code == 3
    assert capsys.readouterr().err.count("\n") == 1


# distances


def distance(world: World, source: str, destination: str) -> float | None:
    found = world.admin.ask("GET", f"/rses/{source}/distances/{destination}").json()
    return found[0]["distance"] if found else None


def test_distances_are_written_in_both_directions_after_asking(world: World, run: Run) -> None:
    world.admin.ask("POST", "/rses/A1/distances/B", {"distance": 77_777})
    command = ("probe", "distances", "--rucio")
    kept = run(*command, answer="n\n")
    assert "nothing was written" in kept.stderr
    assert "77777" in kept.stdout
    assert distance(world, "A1", "B") == 77_777
    assert distance(world, "B", "A1") is None
    shown = json.loads(run("probe", "distances", "--format", "rucio").stdout)
    written = run(*command, answer="y\n")
    assert f"{len(shown)} distances written" in written.stderr
    for one in shown:
        assert distance(world, one["source"], one["destination"]) == one["distance"]
    again = run(*command, "--yes", "--format", "json")
    assert json.loads(again.stdout) == []
    assert "already" in again.stderr


def test_a_storage_element_that_rucio_does_not_know_is_told(world: World, run: Run, catalogue: Path) -> None:
    catalogue.write_text(catalogue.read_text().replace('"TAPE"', '"NO-SUCH"'))
    with pytest.raises(InputError, match="NO-SUCH"):
        run("probe", "distances", "--rucio", "--yes")
