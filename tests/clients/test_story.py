"""Stock clients drive a whole story against a running broker: one of the published document, one of ours.

The story is the same program for both: whoever wrote a client for the published contract has one for ours.
"""

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import urllib3

from broker.contract import kinds
from fairlead.served import start
from tests.clients.generated import python_client
from tests.clients.published import bundle

DONE = ("COMPLETED", "FAILED", "CANCELLED", "EXPIRED", "REJECTED")
WAIT = timedelta(minutes=3)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = start(["--simulated"], tmp_path_factory.mktemp("broker") / "server.log")
    yield served
    served.stop()


@pytest.fixture(scope="module", params=["published", "ours"])
def client(request, served, tmp_path_factory):
    """The generated package, with `api` beside its own names: an instance that is logged in."""
    ours = request.param == "ours"
    document = (
        httpx.get(f"{served.url}/openapi.json", trust_env=False, timeout=60).json() if ours else bundle()
    )
    package = python_client(document, f"{request.param}_client", tmp_path_factory.mktemp(request.param))
    if ours:
        login = {"username": served.user, "password": served.password}
        calls = package.ApiClient(package.Configuration(host=served.url, **login))
    else:
        # the published document says nothing of credentials
        calls = package.ApiClient(package.Configuration(host=served.url))
        header = urllib3.make_headers(basic_auth=f"{served.user}:{served.password}")
        calls.set_default_header("Authorization", header["authorization"])
    package.calls = calls
    package.api = package.DefaultApi(calls)
    return package


def request_for(client, cores=1, start=None, **more):
    return client.ExecutionRequest(
        executable=client.DockerContainer(
            kind=kinds.DOCKER_CONTAINER,
            meta=client.ComponentMetadata(name="story"),
            image=client.DockerImageSpec(
                locations=["docker.io/library/alpine:3.22"], digest="sha256:" + "ab" * 32
            ),
            command=["true"],
        ),
        compute=client.SimpleComputeResource(
            kind=kinds.SIMPLE_COMPUTE, cores=client.SimpleComputeCores(min=cores)
        ),
        schedule=client.RequestedScheduleBlock(
            requested=client.RequestedScheduleItem(duration="PT1M", start=start)
        ),
        **more,
    )


def update(client, session, phase):
    change = client.EnumValueUpdate(kind=kinds.ENUM_VALUE_UPDATE, path="/phase", value=phase)
    return client.api.session_update(session.meta.uuid, change)


def first_offer(client, **more):
    answer = client.api.execution_request(request_for(client, **more))
    assert answer.result == "YES"
    return answer.offers[0]


def test_ask_accept_and_follow_to_the_end(client):
    answer = client.api.execution_request(request_for(client))
    assert answer.result == "YES"
    assert [type(offer) for offer in answer.offers] == [client.ScheduledExecutionSession] * len(answer.offers)
    again = client.api.offer_set_select(answer.meta.uuid)
    assert [offer.meta.uuid for offer in again.offers] == [offer.meta.uuid for offer in answer.offers]

    offer, sibling, *_ = answer.offers
    assert offer.phase == "OFFERED"
    # what is inside is of its own kind, too, and so are the figures and what may be changed
    assert type(offer.executable) is client.DockerContainer
    assert offer.executable.image.locations == ["docker.io/library/alpine:3.22"]
    assert type(offer.compute) is client.SimpleComputeResource
    assert offer.compute.cores.min == 1
    money = [cost for cost in offer.costs if cost.type == "urn:ivoa:calycopis:cost:monetary"]
    assert type(money[0]) is client.SimpleMinMaxFloatCost
    assert 0 < money[0].min <= money[0].max
    assert [type(option) for option in offer.meta.options] == [client.EnumValueOption]
    assert "ACCEPTED" in offer.meta.options[0].values
    assert "/" in offer.schedule.available.start
    assert any(message.message for message in offer.meta.messages)

    assert update(client, offer, "ACCEPTED").phase in ("ACCEPTED", "WAITING", "PREPARING")
    assert client.api.session_select(sibling.meta.uuid).phase == "REJECTED"
    assert followed(client, offer).phase == "COMPLETED"


def test_cancel(client):
    # it waits for its time, however long it takes to come to cancel it
    begin = datetime.now(UTC) + timedelta(hours=2)
    offer = first_offer(client, start=f"{begin:%Y-%m-%dT%H:%M:%SZ}/PT1H")
    assert update(client, offer, "ACCEPTED").phase in ("ACCEPTED", "WAITING")
    update(client, offer, "CANCELLED")
    assert followed(client, offer).phase == "CANCELLED"


def test_an_answer_that_is_no(client):
    answer = client.api.execution_request(request_for(client, cores=1_000_000))
    assert answer.result == "NO"
    assert not answer.offers
    assert all(message.message for message in answer.meta.messages)
    assert any(message.level in ("WARN", "ERROR") for message in answer.meta.messages)


def test_what_is_not_possible_now_is_an_error_with_the_reason(client):
    offer = first_offer(client)
    update(client, offer, "REJECTED")
    with pytest.raises(client.ApiException) as refused:
        update(client, offer, "ACCEPTED")
    assert refused.value.status == 409
    assert "REJECTED" in refused.value.body
    if client.__name__ == "ours_client":
        # the published document doesn't describe errors
        assert type(refused.value.data) is client.ErrorResponse
        assert refused.value.data.phase == "REJECTED"


def test_run_at_once(client):
    session = client.api.direct_execution(request_for(client))
    assert type(session) is client.ScheduledExecutionSession
    assert session.phase in ("ACCEPTED", "WAITING", "PREPARING", "AVAILABLE", "RUNNING")
    with pytest.raises(client.ApiException) as refused:
        client.api.direct_execution(request_for(client, cores=1_000_000))
    assert refused.value.status == 400
    failed = refused.value.data
    failed = getattr(failed, "actual_instance", failed)
    assert failed.phase == "FAILED"
    assert failed.meta.messages


def test_data_and_a_cost_limit(client):
    """Kinds within lists go out as what they are: figures of both come back."""
    replica = client.SkaoReplicaItem(rsename="PERTH-DISK", dataurl="http://10.77.1.2:8080/map.fits")
    block = client.SkaoDataResourceBlock(
        namespace="testing",
        objectname="map.fits",
        objecttype="FILE",
        datasize=3_000_000_000,
        replicas=[replica],
    )
    dataset = client.SkaoDataResource(
        kind=kinds.SKAO_DATA, meta=client.ComponentMetadata(name="map"), skao=block
    )
    answer = client.api.execution_request(request_for(client, data=[dataset]))
    assert answer.result == "YES"
    assert type(answer.offers[0].data[0]) is client.SkaoDataResource
    assert answer.offers[0].data[0].skao.datasize == 3_000_000_000
    moved = [
        cost.max for offer in answer.offers for cost in offer.costs if cost.type.endswith("transfer-bytes")
    ]
    assert 3_000_000_000 in moved

    limit = client.SimpleMinMaxFloatCost(
        kind=kinds.MINMAX_COST, type="urn:ivoa:calycopis:cost:monetary", max=0.0
    )
    answer = client.api.execution_request(request_for(client, data=[dataset], costs=[limit]))
    assert answer.result == "NO"
    assert "cost:monetary" in " ".join(message.message for message in answer.meta.messages)


def followed(client, session):
    """The session when it has ended."""
    deadline = time.monotonic() + WAIT.total_seconds()
    while True:
        now = client.api.session_select(session.meta.uuid)
        if now.phase in DONE:
            return now
        assert time.monotonic() < deadline, f"still {now.phase}"
        time.sleep(0.2)
