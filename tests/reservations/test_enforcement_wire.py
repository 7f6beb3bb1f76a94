"""The credit service as Blazar meets it over HTTP."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from federation.clock import ManualClock
from federation.database import connect
from reservations.enforcement.app import Enforcement, create_app
from reservations.enforcement.bodies import BodyError, UnpriceableError, read_lease
from reservations.enforcement.ledger import DeniedError
from tests.hasty import cut_short
from tests.reservations.enforcement_support import (
    BEFORE,
    PROJECT,
    START,
    create,
    end,
    naive,
    update,
)

HOUR = timedelta(hours=1)
TOKEN = {"X-Auth-Token": "a secret of Blazar's"}


# On the wire


@pytest.fixture
def client(world):
    world.grant(20)
    with TestClient(create_app(world.enforcement, TOKEN["X-Auth-Token"])) as client:
        yield client


def test_a_second_interrupt_is_an_end_as_the_first(world):
    said = cut_short(create_app(world.enforcement, TOKEN["X-Auth-Token"]))
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("prefix", ["/", "/v1/"])
def test_the_wire_is_blazars(client, prefix):
    question = create("lease", hours=2)
    granted = client.post(f"{prefix}check-create", json=question, headers=TOKEN)
    assert (granted.status_code, granted.content) == (204, b"")
    denied = client.post(f"{prefix}check-create", json=question, headers=TOKEN)
    assert denied.status_code == 403
    assert denied.json()["message"].startswith(
        "lease 'lease' is refused: this would cost 20 core-hours; 0 core"
    )
    assert client.post(f"{prefix}on-end", json=end(question), headers=TOKEN).status_code == 204
    assert client.post(f"{prefix}check-update", json=update(question), headers=TOKEN).status_code == 204
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "another"}, {"X-Auth-Token": "é"}])
def test_another_token_is_not_let_in(client, world, headers):
    encoded = {name: value.encode() for name, value in headers.items()}
    assert client.post("/check-create", json=create(), headers=encoded).status_code == 401
    assert world.states() == []


KEYS = (
    "context",
    "lease",
    "reservations",
    "project_id",
    "start_date",
    "amount",
    "current_lease",
    "vcpus",
    "id",
)
BODIES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=8,
)


@given(BODIES)
def test_what_is_no_question_of_blazars_is_told(template, body):
    engine = connect(f"sqlite:///{template}")
    enforcement = Enforcement(engine, ManualClock(BEFORE))
    try:
        for action in (enforcement.create, enforcement.update, enforcement.end):
            with pytest.raises((BodyError, DeniedError, UnpriceableError)):
                action(body)
    finally:
        engine.dispose()


def test_a_question_that_is_broken_is_400_with_what_was_expected(client):
    answer = client.post("/check-create", json={"context": {"project_id": PROJECT}}, headers=TOKEN)
    assert (answer.status_code, answer.json()["message"]) == (
        400, "this is no question of Blazar's: lease: expected an object",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"start_date": "soon"}, "start_date: expected an instant"),
        ({"end_date": naive(START)}, "end_date: expected an instant after"),
        ({"reservations": {}}, "reservations: expected a list"),
        (
            {"reservations": [{"resource_type": "virtual:instance", "amount": "many"}]},
            "amount: expected a whole",
        ),
        (
            {"reservations": [{"resource_type": "virtual:instance", "amount": 10**12}]},
            "amount: expected a whole",
        ),
    ],
)
def test_a_lease_that_is_none_is_told(change, expected):
    with pytest.raises(BodyError, match=expected):
        read_lease({**create()["lease"], **change}, PROJECT, lambda flavour: None)
