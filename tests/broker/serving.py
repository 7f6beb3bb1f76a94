"""The service in this process, with two users, for the tests of what it answers."""

from contextlib import contextmanager

from fastapi.testclient import TestClient

from broker.app import create_app
from broker.contract import kinds
from broker.contract.wire import to_wire
from federation.catalogue import builtin_federation
from federation.clock import ManualClock
from federation.settings import load_settings
from tests.broker.conftest import NOW, make_document
from tests.databases import with_tables


def user(name):
    return {"username": name, "password": f"{name}'s own"}


ADA, BOB, ROOT = ("ada", "ada's own"), ("bob", "bob's own"), ("root", "toor")


@contextmanager
def serving(directory, clock=None, **more):
    environment = {
        "HOME": str(directory),
        "FAIRLEAD_DATABASE_URL": f"sqlite:///{directory / 'fairlead.db'}",
        "FAIRLEAD_WORK_DIRECTORY": str(directory / "work"),
        "FAIRLEAD_ADMIN_USER": "root",
        "FAIRLEAD_ADMIN_PASSWORD": "toor",
    }
    engine = with_tables(directory / "fairlead.db")
    clock = clock or ManualClock(NOW)
    app = create_app(
        load_settings(None, environment | more), builtin_federation(), engine, clock, online=False
    )
    with TestClient(app, base_url="http://broker.example", follow_redirects=False) as client:
        for name in ("ada", "bob"):
            answer = client.post("/admin/identities", json=user(name), auth=("root", "toor"))
            assert answer.status_code == 201
        client.clock, client.engine = clock, engine
        yield client
    engine.dispose()


def ask(client, document=None, auth=ADA):
    answer = client.post("/requests", json=make_document() if document is None else document, auth=auth)
    assert answer.status_code == 303
    return answer.json()


def first_offer(client, **more):
    return ask(client, **more)["offers"][0]["meta"]["uuid"]


def update(client, session, phase, auth=ADA, **more):
    body = {"kind": kinds.ENUM_VALUE_UPDATE, "path": "/phase", "value": phase} | more
    return client.post(f"/sessions/{session}", json=body, auth=auth)


def options(session):
    return [(option["path"], option["values"]) for option in session["meta"].get("options", [])]


def conforms(document, model):
    """Whether the models of the contract read it, and know all of it."""
    assert to_wire(model.model_validate(document)) == document
