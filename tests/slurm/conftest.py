"""One cluster with control groups for all tests of the platform; each test finds it empty, with all nodes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from fairlead.demo_image import build_checksum_image, remove_checksum_image
from tests.slurm.cluster import Cluster, running, slurm_is_impossible
from tests.slurm.rest import Restd, restd
from tests.slurm.stand import stand

__all__ = ["stand"]


@pytest.fixture(scope="package")
def grouped() -> Iterator[Cluster]:
    reason = slurm_is_impossible()
    if reason is not None:
        pytest.skip(reason)
    with running(2, control_groups=True) as cluster:
        yield cluster


@pytest.fixture
def slurm(grouped: Cluster) -> Iterator[Cluster]:
    grouped.clean()
    yield grouped
    grouped.clean()


@pytest.fixture(scope="package")
def rest_daemon(grouped: Cluster) -> Iterator[Restd]:
    with restd(grouped) as found:
        yield found


@pytest.fixture
def rest(rest_daemon: Restd, slurm: Cluster) -> Restd:
    """A slurmrestd beside the cluster that `slurm` is."""
    return rest_daemon


@pytest.fixture(scope="package")
def image() -> Iterator[str]:
    name = build_checksum_image(f"localhost/fairlead-test-{uuid.uuid4().hex[:8]}:1")
    yield name
    # an image that a container still uses can't be removed
    assert remove_checksum_image(name)
