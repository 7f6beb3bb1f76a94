"""`fairlead report space` of a real cloud, as its administrator and as a member who sees little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli import main
from tests.cloud.cloud import Cloud
from tests.cloud.leases import between_hours, create, whole_hosts

pytestmark = pytest.mark.cloud


def reported(folder: Path, cloud: str) -> Any:
    out = folder / cloud
    with pytest.raises(SystemExit) as left:
        main(
            ["report", "space", "--cloud", cloud, "--ahead", "1d", "--format", "html,json", "--out", str(out)]
        )
    assert left.value.code == 0
    return json.loads((out / "space.json").read_text())


def test_what_is_booked_is_counted_and_what_is_hidden_is_not_free(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(cloud.clouds_yaml))
    create(cloud.connect("other"), whole_hosts(2), name="survey", **between_hours(1, 5))
    found = reported(tmp_path, "admin")
    rows = {row["source"]: row for row in found["tables"]["clouds"]}
    blazar = rows["blazar"]
    # two of its hosts for four hours
    cores = [row["cores"] for row in found["tables"]["hosts"] if row["share_booked"]]
    assert len(cores) == 2
    assert blazar["core_hours_booked"] == pytest.approx(4 * sum(cores))
    holders = {row["holder"]: row["core_hours_booked"] for row in found["tables"]["holders"]}
    assert holders["solar"] == pytest.approx(blazar["core_hours_booked"])
    waits = {row["cloud"]: row for row in found["tables"]["waits"]}
    assert waits["admin (blazar)"]["small_wait_seconds"] <= 60
    ends = {row["cloud"]: row for row in found["tables"]["endings"]}
    # what begins later is none of the past's, and Nova has no past
    assert ends["admin (blazar)"]["bookings"] == 0
    assert ends["admin (nova)"]["remark"] == "this source knows the present only"
    hidden = reported(tmp_path, "member")
    assert "how much is taken is not known" in hidden["headline"]
    assert {row["cores"] for row in hidden["tables"]["clouds"]} <= {None, 0}
