"""An ExecutionBroker of another make, on loopback: it says what a test has it say."""

import uuid
from contextlib import contextmanager
from datetime import timedelta

from tests.loopback import Said, said_json, serving

KINDS = "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/"
CANCELLABLE = ("OFFERED", "ACCEPTED", "PREPARING", "AVAILABLE", "RUNNING")


class OtherBroker:
    """As the reference broker answers: no schedule of the session's own, no logs, templates without texts,
    and phases that leave RUNNING out. `faults`: answers (status, body) by method, given once each, first."""

    def __init__(self, now):
        self.now, self.requests, self.sessions, self.faults = now, [], {}, {"GET": [], "POST": []}
        self.authorization, self.refuse, self.url = None, None, ""
        self.says = []  # messages of each offer

    def offer(self, request):
        requested = request["schedule"]["requested"]
        start = requested["start"].partition("/")[0]
        uuid_ = str(uuid.uuid4())
        self.sessions[uuid_] = {
            "kind": KINDS + "session/scheduled-execution-session.yaml",
            "meta": {"uuid": uuid_, "messages": list(self.says)},
            "phase": "OFFERED",
            "expires": (self.now() + timedelta(minutes=5)).isoformat(),
            "compute": {
                "cores": {"min": 2, "max": 2},
                "memory": {"min": 2, "max": 2},
                "schedule": {"available": {"start": f"{start}/PT0S", "duration": "PT2H"}},
            },
            "costs": [{"type": "urn:ivoa:calycopis:cost:monetary", "min": 0.01, "max": 0.05}],
        }
        return self.sessions[uuid_]

    def move(self, uuid_, phase, message=None):
        session = self.sessions[uuid_]
        session["phase"] = phase
        if message:
            session["meta"]["messages"].append(message)

    def answer(self, method, path, body):
        if self.faults[method]:
            return self.faults[method].pop(0)
        if path == "/requests":
            self.requests.append(body)
            if self.refuse:
                return 200, {"result": "NO", "meta": {"messages": [self.refuse]}}
            return 200, {"result": "YES", "offers": [self.offer(body)]}
        session = self.sessions.get(path.removeprefix("/sessions/"))
        if session is None:
            return 404, None
        # accepted once more, it stays as it is
        again = method == "POST" and body["value"] == "ACCEPTED" and session["phase"] != "OFFERED"
        if method == "POST" and session["phase"] in CANCELLABLE and not again:
            session["phase"] = body["value"]
        return 200, session


@contextmanager
def other_broker(now):
    """A running OtherBroker; `now` is its clock."""
    broker = OtherBroker(now)

    def answer(asked):
        broker.authorization = asked.headers.get("Authorization")
        status, document = broker.answer(asked.method, asked.target, asked.json())
        if isinstance(document, bytes):
            return Said(status, document, {"Content-Type": "application/json"})
        return said_json(document, status)

    with serving(answer) as server:
        broker.url = server.origin
        yield broker
