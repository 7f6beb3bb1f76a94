"""MaDDash: which cells a dashboard expects and how each stands, from documents of its own interface."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import OutsideError
from netprobe.meshes import Access
from netprobe.meshes.maddash import Grid, State, grids, read_grid
from tests.netprobe.web import answering


def check(status: Any, message: str = "") -> dict[str, Any]:
    return {"message": message, "status": status, "uri": "/maddash/grids/elsewhere"}


# as docs/api_grids.rst of MaDDash has it
GRID = {
    "name": "Mesh - Throughput",
    "statusLabels": ["Above 5 Gbps", "Below 5 Gbps", "Below 1 Gbps", "No data", "Not run", "Down", "Odd"],
    "lastUpdateTime": 1772971200,
    "rows": [{"name": "A.example.net", "uri": "/x"}, {"name": "b.example.net", "uri": "/y"}],
    "columnNames": ["A.example.net", "b.example.net"],
    "checkNames": ["Throughput", "Throughput Reverse"],
    "grid": [
        [None, [check(0, " Average throughput is 9.1Gbps"), check(3, "No data returned")]],
        [[check(2), None], None],
    ],
}


def dashboard(path: str, _query: dict[str, str]) -> Any:
    return {
        "/maddash/grids": {"grids": [{"name": GRID["name"], "uri": "http://192.0.2.1/"}, "odd"]},
        "/maddash/grids/Mesh%20-%20Throughput": GRID,
    }.get(path)


def test_cells_and_their_states() -> None:
    with answering(dashboard) as url:
        (found,) = grids(Access(url))
    assert (found.name, found.problems) == ("Mesh - Throughput", ())
    assert found.updated == datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
    assert [(one.source, one.destination, one.state, one.label) for one in found.checks] == [
        ("a.example.net", "b.example.net", State.OK, "Above 5 Gbps"),
        # the other direction of the same cell
        ("b.example.net", "a.example.net", State.UNKNOWN, "No data"),
        ("b.example.net", "a.example.net", State.CRITICAL, "Below 1 Gbps"),
    ]
    assert found.checks[0].message == "Average throughput is 9.1Gbps"
    assert (found.checks[1].row, found.checks[1].column) == ("A.example.net", "b.example.net")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0, State.OK),
        (1, State.WARNING),
        (2, State.CRITICAL),
        (3, State.UNKNOWN),
        (4, State.NOT_RUN),
        (5, State.DOWN),
        (6, State.OTHER),
        (-1, State.OTHER),
    ],
)
def test_states_are_kept_apart(status: int, state: State) -> None:
    (found,) = read_grid("g", {**GRID, "grid": [[None, [check(status)]]]}).checks
    assert found.state is state
    (bare,) = read_grid("g", {**GRID, "statusLabels": None, "grid": [[None, [check(status)]]]}).checks
    assert bare.label == (f"status {status}" if state is State.OTHER else state.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"grid": None}, "g: expected a grid of cells, got none"),
        ({"grid": [[None, ["x"]]]}, "g: row 0, column 1, check 0: expected a status, got None"),
        ({"grid": [[None, [check("0")]]]}, "g: row 0, column 1, check 0: expected a status, got '0'"),
        ({"rows": []}, "g: row 0, column 1, check 0: no such row, column or check is named"),
        ({"checkNames": ["one"]}, "g: row 0, column 1, check 1: no such row, column or check is named"),
    ],
)
def test_what_is_not_understood_is_a_line_with_its_place(change: dict[str, Any], problem: str) -> None:
    assert problem in read_grid("g", {**GRID, **change}).problems


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(GRID)), value=JSON)
def test_no_document_is_a_crash(key: str, value: Any) -> None:
    assert isinstance(read_grid("g", {**GRID, key: value}), Grid)
    assert isinstance(read_grid("g", {**GRID, "grid": [[value, [value, check(value)]]]}), Grid)


@pytest.mark.parametrize("answer", [b"<html>", [], {"grids": 7}])
def test_what_is_no_dashboard_is_an_outcome(answer: Any) -> None:
    with answering(lambda _path, _query: answer) as url, pytest.raises(OutsideError, match="expected"):
        list(grids(Access(url)))
