"""Where a file is read, and by whose rights: sites, tokens, access keys, SSH."""

from dataclasses import replace

import pytest

from broker.inspect.access import authorised
from broker.inspect.looking import look
from federation.catalogue import builtin_federation
from federation.errors import OutsideError
from tests.broker.data_inspect.files import CUBE
from tests.broker.data_inspect.serving import serving
from tests.federation.sshd import seen_by_everybody, ssh_server


def test_it_is_read_at_its_site_with_the_token_of_the_broker(federation_of_loopback, tmp_path):
    (tmp_path / "token").write_text("of the broker's".replace(" ", "-"))
    with serving(CUBE) as served:
        known = federation_of_loopback(served)
        host = served.url.split("/")[2]
        options = {"tokens": [{"host": host, "file": str(tmp_path / "token")}]}
        found = look(replace(known, catalogues={"http": options}), served.url)
        assert found.site == next(iter(known)).id
        assert {authorization for _, _, authorization in served.asked} == {"Bearer of-the-broker's"}


@pytest.fixture
def key_in_the_environment(monkeypatch):
    monkeypatch.setenv("STORE_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("STORE_SECRET_ACCESS_KEY", "hush")


def with_key(federation, **key):
    return replace(federation, catalogues={"s3": {"credentials": [{"environment": "STORE", **key}]}})


@pytest.mark.usefixtures("key_in_the_environment")
def test_an_object_that_there_is_a_key_for_is_signed(federation_of_loopback):
    with serving(CUBE) as served:
        endpoint = served.url.rpartition("/")[0]
        found = look(
            with_key(federation_of_loopback(served), endpoint=endpoint), f"{endpoint}/sky/a%20cube.fits"
        )
    assert found.url == f"{endpoint}/sky/a%20cube.fits"
    assert served.asked
    for path, _, _ in served.asked:
        assert path.startswith("/sky/a%20cube.fits?")
        assert "X-Amz-Signature=" in path


S3 = "https://s3.example.org"
SIGNED = [
    ({"endpoint": S3}, f"{S3}/sky/cube.fits"),
    ({"endpoint": S3, "bucket": "sky"}, f"{S3}/sky/cube.fits"),
    ({"endpoint": S3, "addressing": "virtual"}, "https://sky.s3.example.org/cube.fits"),
    ({"endpoint": S3, "addressing": "virtual", "bucket": "sky"}, "https://sky.s3.example.org/a/cube.fits"),
]
UNSIGNED = [
    ({"endpoint": S3, "bucket": "sky"}, f"{S3}/earth/cube.fits"),
    ({"endpoint": S3}, f"{S3}/sky/cube.fits?X-Amz-Signature=of-the-client"),
    ({"endpoint": S3}, "https://s3.example.org.evil.example/sky/cube.fits"),
    ({"endpoint": S3}, "http://s3.example.org/sky/cube.fits"),
    ({"endpoint": S3, "addressing": "virtual"}, "https://evils3.example.org/cube.fits"),
    ({"endpoint": S3}, f"{S3}/sky"),
]


@pytest.mark.usefixtures("key_in_the_environment")
@pytest.mark.parametrize(("key", "url"), SIGNED)
def test_what_is_signed(key, url):
    signed, bearers = authorised(with_key(builtin_federation(), **key), url)
    assert signed.startswith(f"{url}?")
    assert "X-Amz-Signature=" in signed
    assert bearers == {}


@pytest.mark.usefixtures("key_in_the_environment")
@pytest.mark.parametrize(("key", "url"), UNSIGNED)
def test_what_is_not_signed(key, url):
    assert authorised(with_key(builtin_federation(), **key), url) == (url, {})


def test_a_key_that_cannot_be_read_is_said(federation_of_loopback):
    with serving(CUBE) as served:
        endpoint = served.url.rpartition("/")[0]
        options = {"credentials": [{"endpoint": endpoint, "environment": "NOT_THERE"}]}
        known = replace(federation_of_loopback(served), catalogues={"s3": options})
        with pytest.raises(OutsideError, match="environment holds no access key"):
            look(known, f"{endpoint}/sky/cube.fits")
    assert served.asked == []


def test_over_ssh_a_signed_url_is_on_no_command_line(federation_of_loopback, tmp_path):
    seen = []

    def spy(handler, served):
        seen.append(seen_by_everybody())
        return False

    with serving(CUBE, spy) as served, ssh_server(tmp_path) as far_away:
        known = federation_of_loopback(served)
        first = replace(next(iter(known)), host=far_away.host)
        known = replace(known, sites={first.id: first})
        # from here the loopback of a site is no address to go to
        assert look(known, f"{served.url}?signature=s3cret").site == first.id
        assert served.asked[0][0].endswith("s3cret")
    assert all("federation.ssh" in each and "s3cret" not in each for each in seen)
