"""`fairlead data inspect` and GET /data/inspect, as people use them."""

import json
from dataclasses import replace

import pytest

import broker.service
from broker.contract.codec import YAML
from broker.inspect.looking import look
from fairlead.cli import main
from tests.broker.data_inspect.files import CUBE
from tests.broker.data_inspect.serving import serving
from tests.broker.serving import ADA
from tests.broker.serving import serving as broker_serving
from tests.broker.test_openapi import check


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["data", "inspect", *arguments])
    told = capsys.readouterr()
    return left.value.code, told.out, told.err


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FAIRLEAD_CATALOGUE", "FAIRLEAD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("fairlead.cli._probe.state_dir", lambda: tmp_path)


def test_as_a_table(capsys):
    with serving(CUBE) as served:
        status, out, err = run(capsys, served.url, "--here")
    assert (status, err) == (0, "")
    assert "kB in 3 requests" in out
    assert "SCI" in out
    assert "20 x 400 x 300" in out
    assert "5,000 rows, 1 column" in out
    assert "columns freq (Hz)" in out
    assert "corners on the sky, in degrees: 150." in out
    assert "holding all of it takes 10.1 MB; ask for 1 GiB to work on it" in out


def test_as_json_with_headers(capsys):
    with serving(CUBE) as served:
        status, out, _ = run(capsys, served.url, "--here", "--headers", "--json")
    document = json.loads(out)
    assert status == 0
    assert document["hdus"][0]["header"][0].startswith("SIMPLE  =")
    check(document, "DataInspection")


def test_a_truncated_file(capsys):
    with serving(CUBE[:100_000]) as served:
        status, out, err = run(capsys, served.url, "--here")
    assert status == 1
    assert "SCI" in out
    assert err.startswith("truncated: HDU 1 ends at byte")


def test_no_fits_file(capsys):
    with serving(b"\x1f\x8b\x08" + bytes(100)) as served:
        status, _, err = run(capsys, served.url, "--here")
    assert status == 1
    assert (
        err
        == f"fairlead: {served.url}: it is packed with gzip: all of it must be fetched to read its headers\n"
    )


def test_an_address_that_must_not_be_fetched(capsys):
    with serving(CUBE) as served:
        status, _, err = run(capsys, served.url)
    assert (status, err.count("\n"), served.asked) == (2, 1, [])
    assert "no public address" in err
    # what would let it be read
    assert "--here" in err
    assert "data_hosts" in err


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with broker_serving(tmp_path_factory.mktemp("broker")) as client:
        yield client


@pytest.fixture
def online(client, monkeypatch):
    """The broker of these tests fetches nothing: here it does, with loopback as a site's storage."""

    def at_a_site(federation, url):
        first = replace(next(iter(federation)), data_hosts=("127.0.0.1",))
        return look(replace(federation, sites={first.id: first}), url)

    monkeypatch.setattr(broker.service, "look", at_a_site)
    monkeypatch.setattr(client.app.state.front.service, "_online", True)
    return client


def test_over_the_api(online):
    with serving(CUBE) as served:
        answer = online.get("/data/inspect", params={"url": f"{served.url}?sig=abc"}, auth=ADA)
        written = online.get(
            "/data/inspect", params={"url": served.url}, auth=ADA, headers={"Accept": "application/yaml"}
        )
    assert answer.status_code == 200
    document = answer.json()
    check(document, "DataInspection")
    assert "abc" not in answer.text
    assert [hdu.get("name") for hdu in document["hdus"]] == [None, "SCI", "COMPRESSED_IMAGE", "CHANNELS"]
    assert "header" not in document["hdus"][0]
    assert YAML.read(written.content)["memory_bytes"] == document["memory_bytes"]


def test_what_the_api_refuses(online):
    with serving(b"hello") as served:
        for url, status, words in (
            (served.url, 400, "no FITS file"),
            ("http://[::1]:9/a", 400, "no public address"),
            ("s3://a/b", 400, "expected the object's https://"),
            ("", 400, "expected the address of a FITS file"),
        ):
            answer = online.get("/data/inspect", params={"url": url}, auth=ADA)
            assert (answer.status_code, answer.json()["parameter"]) == (status, "url")
            assert words in answer.json()["error"]
    assert online.get("/data/inspect", params={"url": served.url}, auth=ADA).status_code == 503
    assert (
        online.get("/data/inspect", params={"url": served.url, "headers": "1"}, auth=ADA).status_code == 400
    )


def test_only_users_may_ask(client):
    assert client.get("/data/inspect", params={"url": "https://example.org/a"}).status_code == 401


def test_a_broker_that_is_offline_fetches_nothing(client):
    answer = client.get("/data/inspect", params={"url": "https://example.org/a"}, auth=ADA)
    assert (answer.status_code, answer.json()["error"]) == (
        409,
        "nothing is fetched here: this broker is offline",
    )
