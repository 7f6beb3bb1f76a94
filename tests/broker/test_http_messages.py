"""The kind of every message is an address that explains it."""

import pytest
import yaml

from broker.contract.message_kinds import MESSAGE_KINDS
from tests.broker.conftest import make_document
from tests.broker.serving import ask, serving

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("broker")) as client:
        yield client


def test_the_kind_of_a_message_is_where_it_is_explained(client):
    for document in (make_document(), make_document(cores=(-1, 2)), {}):
        for message in ask(client, document)["meta"]["messages"]:
            found = client.get(message["kind"])
            assert found.status_code == 200
            assert found.json()["kind"] == message["kind"]
            assert found.json()["meaning"]


@pytest.mark.parametrize("slug", MESSAGE_KINDS)
def test_every_kind_has_a_page(client, slug):
    page = client.get(f"/messages/{slug}", headers={"Accept": BROWSER})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "What to do" in page.text
    assert "`" not in page.text
    assert client.head(f"/messages/{slug}").status_code == 200


def test_all_kinds_on_one_page(client):
    page = client.get("/messages", headers={"Accept": BROWSER})
    links = [f'href="http://broker.example/messages/{slug}"' for slug in MESSAGE_KINDS]
    assert [link for link in links if link not in page.text] == []
    # nothing is fetched from anywhere
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "src=" not in page.text
    assert len(client.get("/messages").json()["messages"]) == len(MESSAGE_KINDS)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/yaml", "application/yaml"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/html;q=0.5, application/json", "application/json"),
    ],
)
def test_who_is_no_browser_gets_a_document(client, accept, media_type):
    headers = {} if accept is None else {"Accept": accept}
    answer = client.get("/messages/no-room", headers=headers)
    assert answer.headers["content-type"] == media_type
    if media_type == "application/yaml":
        assert yaml.safe_load(answer.text)["title"]


def test_a_kind_that_there_is_not(client):
    for accept in (BROWSER, "application/json"):
        answer = client.get("/messages/<script>", headers={"Accept": accept})
        assert answer.status_code == 404
        assert "text/html" not in answer.headers["content-type"]
    assert client.get("/messages", headers={"Accept": "image/png"}).status_code == 406
