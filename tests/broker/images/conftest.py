"""However long things take on a busy machine: what isn't about a limit doesn't meet one."""

import pytest

from broker.images import client, looking
from broker.platforms import podman_store, slurm_registries
from tests.waiting import SECONDS


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LOOK_SECONDS", SECONDS)
    monkeypatch.setattr(client, "CONNECT_SECONDS", SECONDS)
    monkeypatch.setattr(podman_store, "LAYERS_SECONDS", SECONDS)
    monkeypatch.setattr(slurm_registries, "THERE_SECONDS", SECONDS)
