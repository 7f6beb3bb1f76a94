"""Who waits for somebody else keeps nobody else waiting."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from broker.answers import Answers
from broker.http.front import ASKING
from tests.broker.conftest import make_document
from tests.broker.serving import ADA, ask, first_offer, serving, update


@pytest.fixture
def slow_catalogue(monkeypatch):
    """Catalogues that answer when the event is set."""
    answer = threading.Event()
    asked = threading.Semaphore(0)
    offer = Answers.offer

    def slowly(self, *arguments, **more):
        asked.release()
        assert answer.wait(120)
        return offer(self, *arguments, **more)

    monkeypatch.setattr(Answers, "offer", slowly)
    yield asked, answer
    answer.set()


def test_requests_that_wait_for_a_catalogue_do_not_hold_up_the_rest(tmp_path, monkeypatch, request):
    with serving(tmp_path, FAIRLEAD_REQUESTS_PER_MINUTE="0") as client:
        session = first_offer(client)
        asked, answer = request.getfixturevalue("slow_catalogue")
        with ThreadPoolExecutor(ASKING + 20) as pool:
            waiting = [
                pool.submit(client.post, "/requests", json=make_document(), auth=ADA)
                for _ in range(ASKING + 20)
            ]
            try:
                for _ in range(ASKING):
                    assert asked.acquire(timeout=60)
                assert client.get(f"/sessions/{session}", auth=ADA).status_code == 200
                assert client.get("/sessions", auth=ADA).status_code == 200
                assert client.get("/health").status_code == 200
                assert update(client, session, "REJECTED").status_code == 200
                # no more of them than were asked for
                assert not asked.acquire(blocking=False)
            finally:
                answer.set()
            assert {each.result().status_code for each in waiting} == {303}


def test_a_process_that_only_answers_says_so(tmp_path):
    with serving(tmp_path, FAIRLEAD_SUPERVISE="false") as client:
        health = client.get("/health")
        assert health.status_code == 200
        assert health.json() == {"status": "ok", "database": "ok", "supervisor": "not in this process"}
        session = ask(client)["offers"][0]["meta"]["uuid"]
        assert update(client, session, "ACCEPTED").status_code == 200
        client.portal.call(client.clock.advance, 60)
        # nobody drives it, but it can be cancelled
        assert client.get(f"/sessions/{session}").json()["phase"] == "ACCEPTED"
        assert update(client, session, "CANCELLED").status_code == 200


@pytest.mark.parametrize("path", ["/health", "/messages", "/sessions", "/offersets", "/nowhere"])
def test_head_is_get_without_a_body(tmp_path, path):
    with serving(tmp_path) as client:
        head, got = client.head(path, auth=ADA), client.get(path, auth=ADA)
        assert head.status_code == got.status_code
        assert head.headers["content-length"] == got.headers["content-length"]
