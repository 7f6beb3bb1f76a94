"""No credential gets into a log, an audit row or an error: they are looked through for marked ones."""

import base64
import logging
import sqlite3
from contextlib import closing

import httpx
import pytest

from broker.http.logs import Formatter, redact
from fairlead.served import start
from tests.broker.conftest import make_document
from tests.broker.issuer import claims_of, token

MARK = "s3cr3tm4rk"
# nobody is there
UNREACHABLE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"GET https://ada:{MARK}@data.example/map.fits", "data.example/map.fits"),
        (f"s3://{MARK}:{MARK}@store/x?versionId={MARK}", "store/x"),
        (f"GET https://data.example/map.fits?X-Amz-Signature={MARK}&x=1 200", "map.fits?*** 200"),
        (f"postgresql+psycopg://fairlead:{MARK}@db/fairlead", "@db/fairlead"),
        (f"Authorization: Bearer {MARK}", "Authorization: ***"),
        (f"{{'authorization': 'Basic {MARK}', 'accept': 'x'}}", "'accept': 'x'"),
        (f"[(b'authorization', b'Digest {MARK}'), (b'host', b'x')]", "b'host'"),
        (f"the header was Bearer {MARK}", "the header was Bearer ***"),
        (f"Basic {base64.b64encode(MARK.encode()).decode()} is wrong", "is wrong"),
        (f"the token eyJhbGciOiJSUzI1NiJ9.{MARK}.{MARK}-_ is none", "the token *** is none"),
        (f'{{"password": "{MARK} {MARK}", "username": "ada"}}', '"username": "ada"'),
        (f"client_secret={MARK}&grant_type=x", "grant_type=x"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out_and_the_rest_stays(text, kept):
    found = redact(text)
    assert MARK not in found
    assert base64.b64encode(MARK.encode()).decode() not in found
    assert kept in found


@pytest.mark.parametrize(
    "text",
    [
        "Basic authentication is known here",
        "GET http://data.example:8080/a/b.fits took 3 s",
        "12:30:01 WARNING sessions: 3 of perth, mailto:ada@example.org",
    ],
)
def test_other_lines_stay_as_they_are(text):
    assert redact(text) == text


def test_tracebacks_are_looked_through_too():
    try:
        raise ValueError(f"https://ada:{MARK}@data.example/ failed")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x", 1, "it failed", (), info)
    line = Formatter("%(levelname)s [%(request_id)s] %(message)s").format(record)
    assert line.startswith("ERROR [-] it failed\nTraceback")
    assert MARK not in line


def conversations(clock):
    """Requests with marked credentials wherever one can be: method, path, and more."""
    document = make_document(data=[f"https://ada:{MARK}@data.example/map.fits?sig={MARK}"])
    document["executable"] |= {
        "environment": {"TOKEN": MARK},
        "command": ["--key", MARK],
        "entrypoint": f"/opt/{MARK}",
    }
    forged = token(claims_of(clock, sub=MARK, iss=UNREACHABLE))
    for auth in (
        f"Bearer {forged}",
        f"Bearer {MARK}",
        MARK,
        f"Basic {MARK}",
        "Basic " + base64.b64encode(f"ada:{MARK}".encode()).decode(),
        "Basic " + base64.b64encode(MARK.encode()).decode(),
        "Basic " + base64.b64encode(f"ada\0:{MARK}".encode()).decode(),
    ):
        for method, path in (("GET", "/sessions"), ("POST", "/requests"), ("GET", f"/sessions?token={MARK}")):
            yield method, path, {"headers": {"Authorization": auth}, "json": document}
    ada, root = ("ada", f"{MARK} of ada"), ("root", f"{MARK} of root")
    for path in ("/requests", "/direct"):
        yield "POST", path, {"json": document, "auth": ada}
        broken = document | {"executable": document["executable"] | {"environment": [MARK]}}
        yield "POST", path, {"json": broken, "auth": ada}
        yield "POST", path, {"content": f'{{"x": "{MARK}"', "auth": ada}
    yield "POST", "/admin/identities", {"json": {"username": "ada", "password": MARK}, "auth": root}
    yield "POST", "/admin/identities", {"json": {"username": "", "password": MARK}, "auth": root}
    yield "POST", "/admin/identities", {"json": {"username": "eve", "password": [MARK]}, "auth": root}
    yield "GET", f"/admin/identities?password={MARK}", {"auth": root}
    yield "GET", "/admin/audit", {"auth": root}
    # the query of an address that is none is none of ours
    yield "GET", f"/nowhere?token={MARK}", {}


def test_a_server_keeps_all_secrets(tmp_path, clock):
    root = ("root", f"{MARK} of root")
    settings = {
        "TMPDIR": str(tmp_path),
        "FAIRLEAD_ADMIN_USER": root[0],
        "FAIRLEAD_ADMIN_PASSWORD": root[1],
        "FAIRLEAD_REQUESTS_PER_MINUTE": "0",
        "FAIRLEAD_OIDC_ISSUER": UNREACHABLE,
        "FAIRLEAD_OIDC_AUDIENCE": "x",
    }
    log = tmp_path / "server.log"
    served = start(["--simulated", "--log-level", "info"], log, settings)
    try:
        with httpx.Client(base_url=served.url, trust_env=False, timeout=120) as client:
            user = {"username": "ada", "password": f"{MARK} of ada"}
            assert client.post("/admin/identities", json=user, auth=root).status_code == 201
            statuses = set()
            for method, path, more in conversations(clock):
                answer = client.request(method, path, **more)
                statuses.add(answer.status_code)
                # what belongs to the caller is shown to the caller
                if answer.status_code >= 400 and path != "/direct":
                    assert MARK not in answer.text, (method, path)
                assert MARK not in str(answer.headers), (method, path)
            assert statuses >= {200, 303, 400, 401, 404, 409, 503}
            assert client.get("/admin/audit", auth=root).status_code == 200
        (database,) = tmp_path.glob("fairlead-*/fairlead.db")
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT * FROM audit").fetchall()
            assert len(rows) > 10
            assert MARK not in str(rows)
            assert MARK not in str(connection.execute("SELECT * FROM identities").fetchall())
    finally:
        served.stop()
    text = log.read_text()
    assert "POST /requests 303" in text
    assert "/nowhere 404" in text
    assert MARK not in text
