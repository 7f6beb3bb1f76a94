"""Each notebook runs from a copy of its folder, and finds what was planted in its data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.notebooks.running import NOTEBOOKS, Runner, runner, source_of

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def code(name: str) -> str:
    return "\n".join(
        "".join(cell["source"]) for cell in source_of(name)["cells"] if cell["cell_type"] == "code"
    )


def test_there_are_five() -> None:
    assert [name[0] for name in NAMES] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", NAMES)
def test_stored_without_outputs_and_with_the_api_alone(name: str) -> None:
    for cell in source_of(name)["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    imported = set(re.findall(r"^(?:import|from) (\w+)", code(name), re.MULTILINE))
    assert imported <= {"fairlead", "pandas", "numpy", "matplotlib"}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    text = "\n".join("".join(cell["source"]) for cell in source_of(name)["cells"])
    linked = re.findall(r"\]\(([^)]+)\)", text)
    assert linked
    assert all((NOTEBOOKS / link).resolve().is_file() for link in linked), linked
    assert "## What to do next" in text


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with runner(tmp_path_factory.mktemp("notebooks")) as running:
        yield running


def executed(notebooks: Runner, number: int, asked: Mapping[str, str]) -> dict[str, Any]:
    (name,) = [name for name in NAMES if name.startswith(str(number))]
    return notebooks.run(name, asked)


def test_is_my_path_healthy(notebooks: Runner) -> None:
    found = executed(
        notebooks,
        1,
        {
            "left": "left",
            "longer_ms": "longer_ms",
            "changed": "str(changed)",
            "with_it": "int(near.sum())",
            "slower": "terabyte.iloc[2] / terabyte.iloc[0]",
            "figures": "len(plt.get_fignums())",
        },
    )
    # half the rate, half as much delay again on 38 ms one way, from Friday 04:00 on; one path alone
    assert found["left"] == pytest.approx(0.5, abs=0.05)
    assert found["longer_ms"] == pytest.approx(19, abs=1)
    assert found["changed"].startswith("2026-01-09 04:")
    assert found["with_it"] == 1
    assert found["slower"] == pytest.approx(2, abs=0.3)


def test_scripts_against_the_mesh(notebooks: Runner) -> None:
    found = executed(
        notebooks,
        2,
        {
            "gaps": 'gaps[["test", "source", "destination", "state"]].to_numpy().tolist()',
            "refused": "len(failing)",
            "worst": '[worst["source"], worst["destination"], worst["verdict"], worst["causes"]]',
            "ratio": 'worst["ratio"]',
            "disagree": 'compared[compared["verdict"] == "disagree"]["source"].tolist()',
            "moved": 'other[["source", "destination"]].to_numpy().tolist()',
        },
    )
    assert sorted(found["gaps"]) == [
        ["rtt", "manchester", "lausanne", "stale"],
        ["throughput", "manchester", "lausanne", "stale"],
        ["throughput", "penticton", "manchester", "failed"],
    ]
    assert found["refused"] == 22
    assert found["worst"][:3] == ["lausanne", "penticton", "disagree"]
    assert "window" in found["worst"][3]
    assert found["ratio"] == pytest.approx(0.2, abs=0.02)
    # the two that were planted, and no other
    assert found["disagree"] == ["lausanne", "lausanne"]
    assert found["moved"] == [["lausanne", "perth"]]


def test_when_does_the_cloud_have_space(notebooks: Runner) -> None:
    found = executed(
        notebooks,
        3,
        {
            "first": '{site: str(start) for site, start in first["start"].items()}',
            "never": 'sorted(waits.columns[waits.loc["penticton"].isna()])',
            "sooner": 'sorted(set(sooner["site"]))',
            "now": '{wish: waits.loc["manchester", wish] for wish in waits if "32" in wish}',
        },
    )
    assert found["first"] == {
        "lausanne": "2026-01-15 18:00:00+00:00",
        "perth": "2026-01-17 00:00:00+00:00",
    }
    assert len(found["never"]) == 3
    assert found["sooner"] == ["manchester", "penticton", "perth"]
    assert list(found["now"].values()) == [0]


def test_why_this_site(notebooks: Runner) -> None:
    found = executed(
        notebooks,
        4,
        {
            "nearest": 'ranked["site"].tolist()',
            "moved": 'ranked.set_index("site")["moved_bytes"].to_dict()',
            "cube": 'cube["source"].to_dict()',
            "first": "plan.index.tolist()",
            "later": '(plan.loc["lausanne", "starts"] - plan.loc["lausanne", "data there"]).days',
        },
    )
    # nearest to the data, but full until Thursday
    assert found["nearest"][:2] == ["lausanne", "perth"]
    assert found["first"][0] == "perth"
    assert found["first"][-1] == "lausanne"
    assert found["later"] == 3
    assert found["moved"] == {"lausanne": 8e9, "perth": 8e9, "manchester": 68e9, "penticton": 60e9}
    assert found["cube"]["manchester"] == "lausanne"
    assert {found["cube"][site] for site in ("perth", "lausanne")} == {"perth", "lausanne"}


def test_how_good_are_our_forecasts(notebooks: Runner) -> None:
    found = executed(
        notebooks,
        5,
        {
            "transfers": "len(transfers)",
            "inside": "float(inside)",
            "typical": "typical",
            "covered": "float(covered)",
            "errors": "[whole.iloc[0], whole.iloc[1], alike.iloc[0], alike.iloc[1]]",
            "agree": "int(agree.sum())",
            "worst": "worst",
            "sorts": "{**errors, 'all': float(one['inside'].mean())}",
        },
    )
    assert found["transfers"] == 252
    assert 0.75 <= found["inside"] <= 0.87
    assert found["typical"] < 0.1
    assert 0.7 <= found["covered"] <= 0.9
    ours, last, ours_alike, last_alike = found["errors"]
    assert ours < last
    assert ours_alike < last_alike * 1.05
    assert found["agree"] == 10
    # loads come and go
    assert found["worst"] == "perth to manchester"
    # each of the two sorts of tests as if the other were not there
    assert max(found["sorts"]["scripted"], found["sorts"]["pscheduler"]) < 0.08
    assert 0.75 <= found["sorts"]["all"] <= 0.95
