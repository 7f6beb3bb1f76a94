"""`fairlead mesh grids`: what a MaDDash dashboard says."""

from __future__ import annotations

import json

import pytest

from fairlead.cli import main
from tests.netprobe.test_maddash import dashboard
from tests.netprobe.web import answering


def test_the_command_lists_what_is_not_ok(capfd: pytest.CaptureFixture[str]) -> None:
    with answering(dashboard) as url:
        with pytest.raises(SystemExit) as left:
            main(["mesh", "grids", url])
        shown = capfd.readouterr().out
        with pytest.raises(SystemExit):
            main(["mesh", "grids", url, "--json"])
        (document,) = json.loads(capfd.readouterr().out)
    assert left.value.code == 1
    assert "Mesh - Throughput: 1 Above 5 Gbps, 1 No data, 1 Below 1 Gbps" in shown
    assert "No data returned" in shown
    assert "9.1Gbps" not in shown
    assert [one["state"] for one in document["checks"]] == ["ok", "unknown", "critical"]
