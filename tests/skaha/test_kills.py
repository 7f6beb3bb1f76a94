"""A broker that is killed at random moments of its sessions at a Skaha: see `tests.broker.test_kills`."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from broker.platforms import SaysWhatFits
from tests.broker.test_kills import SEED, Machine, check, suffer, told
from tests.contracts.platform_support import make_platform
from tests.skaha.platform_support import Site
from tests.skaha.serving import Served, registries_at
from tests.skaha.test_story import clock, document

__all__ = ["clock"]


def test_sessions_at_a_skaha(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Skaha itself lives on: nothing is lost, nothing is made twice, and nothing stays there."""
    site = Site(served, tmp_path).with_staging()
    (tmp_path / "token").write_text("tok123")
    more = {"url": served.url, "token_file": str(tmp_path / "token"), **site.options}
    more["registries_file"] = str(registries_at(tmp_path))
    options = {**more, "poll_seconds": 0.2, "log_seconds": 0.2, "image_seconds": 0.5}
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
    asked = document("sh", "-c", "echo started >> /out/starts; sleep 1", duration="PT10M")
    (tmp_path / "machine").mkdir()
    machine = Machine(tmp_path / "machine", "skaha", f"{{ {inline} }}", asked)
    # what may run there is known from before its first life
    platform = make_platform("skaha", machine.work / "here", options)
    assert isinstance(platform, SaysWhatFits)
    platform.learn()
    records, held, busy = suffer(machine, random.Random(SEED + 5))
    starts = Counter(name.removeprefix("fairlead-") for name in served.simulator.made)
    check(machine, records, busy, capsys, starts)
    assert starts == Counter(each.uuid for each in records)
    assert {told(each, "restarted") for each in records} == {0}
    assert all(pod.deleted for pod in served.simulator.pods.values())
    assert held == {each.uuid for each in records if each.results_until is not None}
