"""Can CANFAR run this container? By the command, before anybody asks a broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import build
from federation.errors import InputError
from tests.broker.images.fake import Answering, Said, fake_registry, serving
from tests.skaha.platform_support import CONTRIBUTED, TERMINAL, Site
from tests.skaha.serving import registries_at, skaha_options
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

SIMULATED = CATALOGUE.partition("[sites.perth]")[2].format()


def check(site: Site, image: str, *more: str, answering: Answering | None = None) -> Result:
    catalogue = site.directory / "sites.toml"
    with fake_registry(answering or serving()) as registry:
        options = skaha_options(site.served, site.directory)
        options["registries_file"] = str(registries_at(site.directory, registry.host))
        inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in options.items())
        catalogue.write_text(CATALOGUE.format(options=inline))
        return _run(catalogue, image, *more)


def _run(catalogue: Path, image: str, *more: str) -> Result:
    return CliRunner().invoke(build("site"), ["site", "check", str(catalogue), "--image", image, *more])


def answers(site: Site, image: str, answering: Answering | None = None) -> dict[str, tuple[Any, str]]:
    done = check(site, image, "--json", answering=answering)
    assert done.exit_code == 0, done.output
    return {each["site"]: (each["can_run"], " ".join(each["reasons"])) for each in json.loads(done.stdout)}


def test_each_site_says_yes_or_why_not(site: Site) -> None:
    found = answers(site, TERMINAL)
    assert found["perth"] == (True, "")
    assert found["canfar"][0] is True
    assert "runs as root by itself" in found["canfar"][1]
    found = answers(site, CONTRIBUTED)
    assert found["perth"] == (True, "")
    assert found["canfar"][0] is False
    assert "for contributed sessions, not for headless ones" in found["canfar"][1]
    site.served.app.faults.append(Fault("GET /image", (503, "text/plain", b"busy")))
    found = answers(site, TERMINAL)
    assert found["canfar"][0] is None
    assert "fails with status 503: busy" in found["canfar"][1]


def test_what_skaha_lists_and_its_registry_has_no_more_is_a_no(site: Site) -> None:
    [can_run, reason] = answers(site, TERMINAL, lambda path, headers: Said(404))["canfar"]
    assert can_run is False
    assert "skaha/terminal:1.1.2: name a tag or digest that it has" in reason
    [can_run, reason] = answers(site, TERMINAL, lambda path, headers: Said(503))["canfar"]
    assert can_run is None
    assert "it is not known whether the image can be had" in reason


def test_for_people_it_is_a_table(site: Site) -> None:
    done = check(site, "ghcr.io/x/y:1")
    assert done.exit_code == 0
    assert "can run it" in done.stdout
    assert "images.canfar.net" in done.stdout


@pytest.mark.parametrize("image", ["", "a b", "-x", "docker://alpine", "a\nb", "alpine@sha256:zz", "UPPER"])
def test_what_is_no_image_s_name_is_asked_nowhere(image: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "sites.toml"
    catalogue.write_text(CATALOGUE.partition("[sites.canfar]")[0] + "[sites.perth]" + SIMULATED)
    done = CliRunner().invoke(build("site"), ["site", "check", str(catalogue), f"--image={image}"])
    assert isinstance(done.exception, InputError)
    assert "is not the name of one: expected REGISTRY/PROJECT/NAME:TAG" in str(done.exception)
    assert "\n" not in str(done.exception)
