"""Requests made up by schemathesis from an OpenAPI document, and answers held against it.

What is made up knows nothing of what exists: so that more than 404s and NOs are met, uuids are often replaced
by those of what there is, and bodies often are good ones, or good ones with some made-up members.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from broker.contract import kinds
from broker.contract.message_kinds import MESSAGE_KINDS
from broker.http.media import CODECS
from broker.model import Phase
from tests.clients.flat import flat

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ACCEPT = {"kind": kinds.ENUM_VALUE_UPDATE, "path": "/phase", "value": "ACCEPTED"}
# with every part that there is, and answered by YES on simulated sites
REQUEST: dict[str, Any] = {
    "executable": {
        "kind": kinds.DOCKER_CONTAINER,
        "meta": {"name": "fuzz"},
        "image": {"locations": ["docker.io/library/alpine:3.22"], "digest": "sha256:" + "ab" * 32},
        "network": {"ports": [{"access": True, "internal": {"port": 8080}, "protocol": "HTTP"}]},
    },
    "compute": {
        "kind": kinds.SIMPLE_COMPUTE,
        "cores": {"min": 1},
        "volumes": [
            {"kind": kinds.SIMPLE_VOLUME, "path": "/in", "mode": "READONLY", "resource": "map"},
            {"kind": kinds.SIMPLE_VOLUME, "path": "/out", "mode": "READWRITE", "resource": "results"},
        ],
    },
    "storage": [{"kind": kinds.SIMPLE_STORAGE, "meta": {"name": "results"}, "size": {"min": 1}}],
    "data": [
        {
            "kind": kinds.SKAO_DATA,
            "meta": {"name": "map"},
            "skao": {
                "namespace": "testing",
                "objectname": "map.fits",
                "objecttype": "FILE",
                "datasize": 3_000_000,
                "replicas": [{"rsename": "PERTH-DISK", "dataurl": "http://10.77.1.2:8080/map.fits"}],
            },
        }
    ],
    "schedule": {"requested": {"duration": "PT1M"}},
}
# the operations behind which most is decided, and how much more often they are tried than the others
_OFTEN = {"ExecutionRequest": 6, "DirectExecution": 3, "SessionUpdate": 4}
_MEDIA_TYPES = [codec.media_types[0] for codec in CODECS]


@dataclass
class Found:
    """What came of it: answers by operation and status, and what was wrong, by operation."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return sum(sum(counter.values()) for counter in self.statuses.values())


def fuzz(
    document: dict[str, Any],
    url: str,
    auth: tuple[str, str],
    cases: int,
    settings: hypothesis.settings,
    told: Callable[[str], None] = lambda line: None,
) -> Found:
    """Try `cases` requests at the service at `url`, which `document` describes and `auth` administers.

    `told` hears of each operation when it is done.
    """
    schema = schemathesis.openapi.from_dict(flat(document))
    # what is no operation has no `ok`, and fails here
    operations = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    # what takes no parameters is the same request every time
    weights = {
        each.definition.raw["operationId"]: _OFTEN.get(each.definition.raw["operationId"], 1)
        if each.body or each.path_parameters or each.query
        else 0.01
        for each in operations
    }
    found = Found()
    with requests.Session() as session:
        session.auth, session.trust_env = auth, False
        uuids = _made(session, url)
        for operation in operations:
            name = operation.definition.raw["operationId"]
            count = max(1, round(cases * weights[name] / sum(weights.values())))
            found.statuses[name] = Counter()
            test = _tried(operation, session, url, uuids, found.statuses[name])
            try:
                hypothesis.settings(settings, max_examples=count)(test)()
            except (Exception, BaseExceptionGroup) as fault:
                found.faults[name] = _said(fault)
            told(f"{name}: {dict(sorted(found.statuses[name].items()))}")
    return found


def _tried(operation, session, url, uuids, statuses):  # type: ignore[no-untyped-def]
    """A hypothesis test of one operation."""
    generated = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or operation.path_parameters or operation.query:
        generated |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    name = operation.definition.raw["operationId"]
    some_members = st.sets(st.sampled_from(sorted(REQUEST))).map(
        lambda chosen: {member: REQUEST[member] for member in chosen}
    )
    good = {
        "ExecutionRequest": st.just(REQUEST) | some_members,
        "DirectExecution": st.just(REQUEST) | some_members,
        "SessionUpdate": st.sampled_from([ACCEPT | {"value": phase.value} for phase in Phase]),
    }

    @hypothesis.given(case=generated, choices=st.data())
    def test(case, choices):  # type: ignore[no-untyped-def]
        known = uuids.get(operation.path.split("/")[1], [])
        if "uuid" in (case.path_parameters or {}) and choices.draw(st.booleans()):
            case.path_parameters["uuid"] = choices.draw(st.sampled_from(known))
        if "slug" in (case.path_parameters or {}) and choices.draw(st.booleans()):
            case.path_parameters["slug"] = choices.draw(st.sampled_from(sorted(MESSAGE_KINDS)))
        if name in good and choices.draw(st.booleans()):
            made_up = case.body if isinstance(case.body, dict) and choices.draw(st.booleans()) else {}
            case.body = made_up | choices.draw(good[name])
            case.media_type = choices.draw(st.sampled_from(_MEDIA_TYPES[:2]))
        headers = {"Accept": choices.draw(st.sampled_from(_MEDIA_TYPES))}
        response = case.call(
            base_url=url, session=session, headers=headers, allow_redirects=False, timeout=60
        )
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    return test


def _made(session: requests.Session, url: str) -> dict[str, list[str]]:
    """The uuids of what there is, by the first part of the path: several of each, in several phases."""
    uuids: dict[str, list[str]] = {}
    for _ in range(4):
        answer = session.post(f"{url}/requests", json=REQUEST, timeout=60).json()
        assert answer["result"] == "YES", answer
        first = answer["offers"][0]
        accepted = session.post(f"{url}/sessions/{first['meta']['uuid']}", json=ACCEPT, timeout=60)
        assert accepted.status_code == 200, accepted.text
        things = {
            "offersets": [answer],
            "sessions": answer["offers"],
            "executables": [first["executable"]],
            "compute": [first["compute"]],
            "storage": first["storage"],
            "data": first["data"],
            "volumes": first["compute"]["volumes"],
        }
        for family, parts in things.items():
            uuids.setdefault(family, []).extend(part["meta"]["uuid"] for part in parts)
    for number in range(12):
        user = {"username": f"fuzz{number}", "password": "a long enough secret"}
        made = session.post(f"{url}/admin/identities", json=user, timeout=60)
        uuids.setdefault("admin", []).append(made.json()["uuid"])
    return uuids


def _said(fault: BaseException) -> str:
    """What was wrong, with the request that shows it where schemathesis tells."""
    if isinstance(fault, BaseExceptionGroup):
        return "\n".join(_said(each) for each in fault.exceptions)
    words = getattr(fault, "message", "") or ""
    return f"{type(fault).__name__}: {fault} {words}".strip() + "".join(
        f"\n  {json.dumps(note) if not isinstance(note, str) else note}"
        for note in getattr(fault, "__notes__", [])
    )
