"""Strangers choose the names of data, files and images: none moves the cursor of who looks at them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.table import Table

from fairlead.cli import main
from fairlead.cli._common import messages, output, plain, print_json
from federation.errors import FairleadError

NASTY = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\re\x7f"
OBEYED = set("\x1b\x07\x9b\u202e\r\x7f\x08")


def test_tables_and_lines_show_no_orders_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add_column(NASTY)
    table.add_row(f"{NASTY}\nsecond line")
    output().print(table)
    output().print(NASTY, style="bold")
    messages().print(NASTY)
    said = capsys.readouterr()
    assert not OBEYED & set(said.out + said.err)
    assert "second line" in said.out
    # all else of it stays
    assert "a[2J]0;titleb31mcde" in said.err


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20))
def test_json_says_the_same_with_no_orders(capsys: pytest.CaptureFixture[str], text: str) -> None:
    print_json({"a": (text + NASTY).encode(errors="replace").decode()})
    said = capsys.readouterr().out
    assert not OBEYED & set(said)
    assert json.loads(said) == {"a": (text + NASTY).encode(errors="replace").decode()}


def test_what_goes_wrong_is_said_with_no_orders(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str | None) -> None:
        raise FairleadError(NASTY)

    monkeypatch.setattr("fairlead.cli.build", fail)
    with pytest.raises(SystemExit):
        main(["plugins"])
    said = capsys.readouterr().err
    assert said.startswith("fairlead: a[2J")
    assert not OBEYED & set(said)


def test_lines_and_columns_stay() -> None:
    assert plain("a\tb\nc ü 日本 é") == "a\tb\nc ü 日本 é"
