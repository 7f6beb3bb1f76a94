"""The application with its pages in this process, for the tests of what they show and refuse."""

import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from fastapi.testclient import TestClient

from broker.app import create_app
from broker.identities import Identities
from broker.records import Role
from federation.catalogue import load_federation
from federation.clock import ManualClock
from federation.database import connect, upgrade
from federation.settings import load_settings
from netprobe.archive import Archive
from netprobe.measurement import Kind, Measurement, Origin
from reports.metrics import add_metrics
from reports.pages.app import add_pages
from tests.broker.conftest import NOW

ADA, BOB, OLGA, ROOT = ("ada", "ada's own"), ("bob", "bob's own"), ("olga", "olga's own"), ("root", "toor")
ORIGIN = {"origin": "http://broker.example", "sec-fetch-site": "same-origin"}
TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')

HELD = (
    '{ host = "node-1", start = 2026-11-25T10:00:00Z, end = 2026-11-27T10:00:00Z, '
    'name = "deep-field", holder = "zoe" }'
)
CATALOGUE = """
name = "two halves & more"

[sites.alpha]
name = "Alpha <b>"
latitude = 1
longitude = 2
platform = { kind = "simulated", cores = 64, memory = "256 GiB", storage = "10 TiB" }

[[sites.alpha.space]]
source = "static"

[sites.alpha.space.options]
hosts = [
  { name = "node-1", cores = 32, memory = "128 GiB" },
  { name = "node-2", cores = 32, memory = "128 GiB" },
]
bookings = [
  HELD,
]

[sites.beta]
name = "Beta"
latitude = -30
longitude = 20
platform = { kind = "simulated", cores = 8, memory = "32 GiB", storage = "1 TiB" }

[sites.gamma]
name = "Gamma"
latitude = 50
longitude = -100
"""


def measured(source, destination, age, rate=None, kind=Kind.THROUGHPUT, **more):
    figures = {} if rate is None else {"bits_per_second" if kind is Kind.THROUGHPUT else "rtt_seconds": rate}
    tool = "iperf3" if kind is Kind.THROUGHPUT else "ping"
    return Measurement(
        kind, source, destination, NOW - timedelta(seconds=age), 10.0, tool, Origin.SCRIPTED, figures, **more
    )


MEASUREMENTS = [
    measured("alpha", "beta", 120, 90e6),
    measured("alpha", "beta", 600, 94e6),
    measured("beta", "alpha", 3 * 86_400, 10e6),
    measured("alpha", "beta", 60, 0.025, Kind.LATENCY),
    measured("alpha", "gamma", 900, error="gamma: connection refused"),
    measured("gamma", "alpha", 900, 1e9),
    measured("gamma", "alpha", 30, error="alpha: <i>no</i> route"),
]


@contextmanager
def serving(directory, clock=None, **more):
    """The service as `fairlead serve` has it, with ada and bob, and olga who is an operator.

    Called again in the same directory: another broker on the same database.
    """
    catalogue = directory / "sites.toml"
    catalogue.write_text(CATALOGUE.replace("HELD", HELD))
    environment = {
        "HOME": str(directory),
        "FAIRLEAD_DATABASE_URL": f"sqlite:///{directory / 'fairlead.db'}",
        "FAIRLEAD_WORK_DIRECTORY": str(directory / "work"),
        "FAIRLEAD_ADMIN_USER": "root",
        "FAIRLEAD_ADMIN_PASSWORD": "toor",
    }
    settings = load_settings(None, environment | more)
    federation, clock = load_federation(catalogue), clock or ManualClock(NOW)
    engine = connect(settings.database_url)
    upgrade(engine)
    identities = Identities(engine, clock, *ROOT)
    if identities.get(ADA[0]) is None:
        Archive(engine).add(replace(one) for one in MEASUREMENTS)
        for (name, password), role in ((ADA, Role.USER), (BOB, Role.USER), (OLGA, Role.OPERATOR)):
            identities.create(name, password, role)
    app = create_app(settings, federation, engine, clock, online=False)
    add_metrics(app, add_pages(app, settings, federation, clock))
    with TestClient(app, base_url="http://broker.example", follow_redirects=False) as client:
        client.clock, client.engine, client.identities = clock, engine, identities
        client.headers["accept"] = "text/html"
        yield client
    engine.dispose()


def sign_in(client, who=ADA, headers=ORIGIN, **more):
    """The answer to the form; the client keeps the cookie."""
    fields = {"username": who[0], "password": who[1]} | more
    return client.post("/pages/sign-in", data=fields, headers=headers)


def token_of(client, path="/pages"):
    """The token in the forms of a page."""
    return TOKEN.search(client.get(path).text)[1]


def signed_in(client, who=ADA):
    client.cookies.clear()
    assert sign_in(client, who).status_code == 303
    return token_of(client)
