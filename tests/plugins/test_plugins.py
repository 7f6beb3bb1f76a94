"""What is installed is listed, says what it does, and what it lacks here."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fairlead.plugins
from fairlead.cli import build
from fairlead.plugins import GROUPS, Plugin, find_plugins, markdown
from federation.about import About

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = find_plugins("fairlead")


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package of somebody else's, with plug-ins of all sorts."""
    information = tmp_path / "moon-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: moon\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text(
        "[fairlead.platforms]\nlunar = moon_base:Lunar\nbroken = moon_broken:Any\nmute = moon_base:Mute\n"
    )
    (tmp_path / "moon_base.py").write_text(
        "from federation.about import About\n"
        "class Mute: pass\n"
        "class Lunar:\n"
        "    ABOUT = About('Runs on the moon.', 'No.', ('no_such.module',), 'rover', ('no-such-rover',))\n"
    )
    (tmp_path / "moon_broken.py").write_text("raise RuntimeError('no\\n air')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("moon_base", "moon_broken"):
        sys.modules.pop(name, None)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(build("plugins"), ["plugins", *arguments])
    return done.exit_code, done.stdout + (str(done.exception) if done.exception else "")


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda each: f"{each.group}:{each.name}")
def test_each_of_ours_says_what_it_does_and_what_not(plugin: Plugin) -> None:
    assert plugin.about is not None, f"{plugin.source} has no ABOUT: see federation.about"
    for text in (plugin.about.does, plugin.about.cannot):
        assert text.endswith(".")
        assert "|" not in text
        assert "\n" not in text
    assert (plugin.package, plugin.source.partition(":")[0].partition(".")[0]) != ("", "")


def test_every_group_has_some_of_ours() -> None:
    assert {plugin.group for plugin in PLUGINS} == set(GROUPS)


def test_the_page_has_the_table_that_they_give() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    table = page.partition("<!-- table -->\n")[2].partition("<!-- end of table -->")[0]
    assert table == markdown(PLUGINS), "run scripts/plugins_table"


def test_what_others_installed_is_listed_with_what_it_lacks(other_package: Path) -> None:
    code, text = run("--json", "--package", "moon")
    assert code == 0
    found = {each["name"]: each for each in json.loads(text)}
    assert {(each["package"], each["version"]) for each in found.values()} == {("moon", "1.2")}
    assert found["lunar"]["missing"] == [
        "the Python module no_such.module is not installed: pip install 'moon[rover]'",
        "the program no-such-rover is not on this machine",
    ]
    assert found["broken"]["missing"] == ["it can't be loaded: RuntimeError: no air"]
    assert found["mute"]["missing"] == ["it doesn't say what it does: its class has no ABOUT"]
    assert not any(each["usable"] for each in found.values())
    code, text = run()
    assert code == 0
    assert "Runs on the moon." in " ".join(text.split())


def test_nothing_is_missing_where_everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(fairlead.plugins, "find_spec", lambda name: object())
    assert [plugin.missing for plugin in find_plugins("fairlead")] == [()] * len(PLUGINS)


def test_a_package_without_plugins_is_an_error() -> None:
    assert "no plugin is of a package called 'numpy'" in run("--package", "numpy")[1]


def test_the_table_is_the_same_on_every_machine() -> None:
    about = About("Does.", "Can't.", ("a",), "x", ("p", "q"))
    some = [Plugin("fairlead.tools", "t", "fairlead", "1", "m:C", about, ("missing",))]
    rows: Sequence[str] = markdown(some).splitlines()
    assert rows[-1] == "| tool | `t` | Does. | Can't. | `fairlead[x]`, `p`, `q` |"
    silent = Plugin("fairlead.tools", "t", "fairlead", "1", "m:C", None)
    assert markdown([silent]).splitlines()[-1] == "| tool | `t` | - | - | - |"
