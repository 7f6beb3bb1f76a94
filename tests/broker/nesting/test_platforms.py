"""The same probe on other platforms: through the calls that sessions use, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.nesting import Kind, Trial, probe
from broker.nesting.probe import try_nesting
from broker.platforms import PlatformError
from federation.sites import Place, Platform, Site
from tests.broker.nesting.image import missing, nesting_image
from tests.contracts.platform_support import make_platform
from tests.skaha.serving import skaha, skaha_options
from tests.slurm.cluster import running, slurm_is_impossible
from tests.slurm.platform_support import platform_options

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SITE = Site("here", "Here", Place(0, 0), platform=Platform("any", 4, 8, 10))
TERMINAL = "images.canfar.net/skaha/terminal:1.1.2"
# what a pod of Kubernetes answers, as measured there: its /proc is masked
ANSWERS = """
echo 'fairlead-nesting kernel 0 6.8.0'
echo 'fairlead-nesting userns 0 '
echo "fairlead-nesting bwrap 1 bwrap: Can't mount proc on /newroot/proc: Operation not permitted"
echo 'fairlead-nesting socket 1 none'
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "work"
    found.mkdir()
    return found


def test_skaha_is_asked_by_a_script_in_its_storage(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # its simulator runs programs of this machine, where nothing is to be tried
    monkeypatch.setattr(probe, "script", lambda: ANSWERS)
    (tmp_path / "arc").symlink_to(root)
    with skaha(tmp_path / "skaha") as served:
        options = skaha_options(served, tmp_path)
        options |= {"staging": str(root), "staging_there": str(tmp_path / "arc")}
        found = asyncio.run(try_nesting(make_platform("skaha", root, options), SITE, TERMINAL, NOW, 60.0))
        assert not [pod for pod in served.simulator.pods.values() if pod.deleted is None]
    assert found.plain.attempts[Kind.USERNS].works
    assert "Can't mount proc" in found.plain.attempts[Kind.BWRAP].said
    assert found.privileged == "here runs no privileged containers"
    assert not [path for path in root.iterdir() if path.is_dir()]


def test_skaha_without_staging_says_what_it_would_take(tmp_path: Path, root: Path) -> None:
    with skaha(tmp_path / "skaha") as served:
        platform = make_platform("skaha", root, skaha_options(served, tmp_path))
        with pytest.raises(PlatformError, match="Skaha at here splits arguments at spaces"):
            asyncio.run(try_nesting(platform, SITE, TERMINAL, NOW, 60.0))
    assert not served.simulator.pods


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    reason = missing() or slurm_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    with nesting_image() as name:
        yield name


@pytest.mark.podman
def test_slurm_runs_it_as_a_job_with_the_options_of_its_site(image: str, root: Path) -> None:
    with running(1) as cluster:
        options = platform_options(cluster)
        masked = asyncio.run(try_nesting(make_platform("slurm", root, options), SITE, image, NOW, 120.0))
        options["engine_run"] = [*options["engine_run"], "--security-opt", "unmask=ALL"]
        unmasked = asyncio.run(try_nesting(make_platform("slurm", root, options), SITE, image, NOW, 120.0))
    assert isinstance(masked.plain, Trial)
    assert masked.plain.attempts[Kind.BWRAP].works is False
    assert unmasked.plain.attempts[Kind.BWRAP].works
    assert unmasked.plain.attempts[Kind.PODMAN_SHARED].works
