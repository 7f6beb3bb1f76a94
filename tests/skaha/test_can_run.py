"""Can CANFAR run this container? By the command, before anybody asks a broker."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from fairlead.cli import build
from tests.skaha.platform_support import CONTRIBUTED, TERMINAL, Site
from tests.skaha.simulator_app import Fault

CATALOGUE = """
name = "can-run"
[sites.canfar]
name = "CANFAR"
latitude = 48.5
longitude = -123.4
platform = {{ kind = "skaha", cores = 8, memory = "8 GiB", storage = "1 GiB", options = {{ {options} }} }}
[sites.perth]
name = "Perth"
latitude = -31.95
longitude = 115.86
platform = {{ kind = "simulated", cores = 8, memory = "8 GiB", storage = "1 GiB" }}
"""


def check(site: Site, image: str, *more: str) -> Result:
    token, catalogue = site.directory / "token", site.directory / "sites.toml"
    token.write_text("tok123")
    catalogue.write_text(CATALOGUE.format(options=f'url = "{site.served.url}", token_file = "{token}"'))
    return CliRunner().invoke(build("site"), ["site", "check", str(catalogue), "--image", image, *more])


def answers(site: Site, image: str) -> dict[str, tuple[Any, str]]:
    done = check(site, image, "--json")
    assert done.exit_code == 0, done.output
    return {each["site"]: (each["can_run"], " ".join(each["reasons"])) for each in json.loads(done.stdout)}


def test_each_site_says_yes_or_why_not(site: Site) -> None:
    assert answers(site, TERMINAL) == {"canfar": (True, ""), "perth": (True, "")}
    found = answers(site, CONTRIBUTED)
    assert found["perth"] == (True, "")
    assert found["canfar"][0] is False
    assert "for contributed sessions, not for headless ones" in found["canfar"][1]
    site.served.app.faults.append(Fault("GET /image", (503, "text/plain", b"busy")))
    found = answers(site, TERMINAL)
    assert found["canfar"][0] is None
    assert "fails with status 503: busy" in found["canfar"][1]


def test_for_people_it_is_a_table(site: Site) -> None:
    done = check(site, "ghcr.io/x/y:1")
    assert done.exit_code == 0
    assert "can run it" in done.stdout
    assert "images.canfar.net" in done.stdout
