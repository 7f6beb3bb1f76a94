"""Requests that schemathesis makes up from our OpenAPI document: no 500, and no answer that it denies.

A few hundred, the same each time. `benchmarks/fuzz.py` tries thousands of others.
"""

import httpx
import hypothesis
import pytest

from fairlead.served import start
from tests.clients.fuzzing import fuzz

CASES = 200


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    log = tmp_path_factory.mktemp("broker") / "server.log"
    served = start(["--simulated"], log, {"FAIRLEAD_REQUESTS_PER_MINUTE": "0"})
    yield served
    served.stop()


def settings():
    return hypothesis.settings(
        derandomize=True,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def test_whatever_is_asked_the_answer_is_what_our_document_says(served):
    document = httpx.get(f"{served.url}/openapi.json", trust_env=False, timeout=60).json()
    found = fuzz(document, served.url, (served.user, served.password), CASES, settings())
    assert not found.faults, "\n\n".join(f"{name}: {fault}" for name, fault in found.faults.items())
    assert "Traceback" not in served.log.read_text()
    # it got behind the door: offers were made, sessions were changed
    assert found.cases > CASES / 2
    assert found.statuses["ExecutionRequest"][303] > 10
    assert found.statuses["SessionUpdate"][200] + found.statuses["SessionUpdate"][409] > 0


def test_a_document_that_says_otherwise_is_found_out(served):
    """The checks bite: a property that is never there, and a status that isn't described."""
    document = httpx.get(f"{served.url}/openapi.json", trust_env=False, timeout=60).json()
    health = document["components"]["schemas"]["Health"]
    health["required"].append("temper")
    del document["paths"]["/sessions"]["get"]["responses"]["400"]
    document["paths"] = {path: document["paths"][path] for path in ("/health", "/sessions")}
    found = fuzz(document, served.url, (served.user, served.password), 20, settings())
    assert set(found.faults) == {"Health", "SessionList"}
    assert "temper" in found.faults["Health"]
