"""The fixture `cloud`, for every test that has the mark `cloud`; and a bucket by which results come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud import environment
from tests.cloud.bucket import ResultBucket, bucket
from tests.cloud.cloud import Cloud
from tests.tool_environments import CannotInstallError


def pytest_configure(config: pytest.Config) -> None:
    # the client library warns of itself
    for name in ("RemovedInSDK50Warning", "RemovedInSDK60Warning", "RemovedFieldWarning"):
        config.addinivalue_line("filterwarnings", f"ignore::openstack.warnings.{name}")


@pytest.fixture(scope="session")
def running_cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """The one cloud of a run: up when a test first asks; its logs are kept where a test failed."""
    reason = environment.impossible()
    if reason is not None:
        pytest.skip(reason)
    try:
        cloud = Cloud.up()
    except CannotInstallError as error:
        pytest.skip(str(error))
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"\nthe test cloud is up after {cloud.up_seconds:.1f} s")
    failures = request.session.testsfailed
    try:
        yield cloud
    finally:
        failed = request.session.testsfailed > failures
        cloud.down(keep_logs=failed)
        if failed and reporter is not None:
            reporter.write_line(f"\nthe test cloud's logs are in {cloud.directory / 'logs'}")


@pytest.fixture
def cloud(running_cloud: Cloud) -> Iterator[Cloud]:
    """A cloud with an empty calendar, its hosts, quotas and settings as at the start."""
    running_cloud.clean()
    with running_cloud.connections():
        yield running_cloud


@pytest.fixture(scope="session")
def result_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResultBucket]:
    with bucket(tmp_path_factory.mktemp("bucket")) as found:
        yield found
