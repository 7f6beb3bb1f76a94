"""What is said of a file on a server, and what may be asked for."""

import numpy as np
import pytest

from broker.inspect.document import inspection_document
from broker.inspect.looking import look, plain_url
from federation.catalogue import builtin_federation
from federation.errors import InputError
from tests.broker.data_inspect.files import CUBE, sky
from tests.broker.data_inspect.serving import serving


@pytest.fixture(scope="module")
def inspected():
    with serving(CUBE) as served:
        found = look(None, f"{served.url}?X-Amz-Signature=abc", anywhere=True)
        yield found, served


def test_a_handful_of_requests(inspected):
    found, served = inspected
    assert len(found.hdus) == 4
    assert found.complete
    assert not found.faults
    assert found.requests == len(served.asked) <= 5
    assert found.read_bytes == served.sent_bytes < 60_000 < len(CUBE) == found.size_bytes


def test_what_is_in_it(inspected):
    found, _ = inspected
    empty, image, packed, table = found.hdus
    assert (empty.kind, image.kind, packed.kind, table.kind) == (
        "empty",
        "image",
        "compressed image",
        "table",
    )
    assert (image.name, image.shape, image.unit) == ("SCI", (20, 400, 300), "Jy/beam")
    assert image.axes == ("", "DEC--TAN", "RA---TAN")
    assert packed.shape == (400, 300)
    assert (table.columns[0].name, table.columns[0].unit, table.shape) == ("freq", "Hz", (5000,))
    assert found.memory_bytes == 20 * 400 * 300 * 4 + 400 * 300 * 4 + 5000 * 8
    assert found.advice == "holding all of it takes 10.1 MB; ask for 1 GiB to work on it"


def test_where_on_the_sky_it_is(inspected):
    found, _ = inspected
    expected = sky(300, 400).calc_footprint(axes=(300, 400))
    for hdu in found.hdus[1:3]:
        assert np.array(hdu.footprint) == pytest.approx(expected, abs=1e-8)


def test_nothing_that_may_be_secret_is_told(inspected):
    found, served = inspected
    assert served.asked[0][0].endswith("?X-Amz-Signature=abc")
    assert "Signature" not in repr(inspection_document(found, headers=True))


def test_without_astropy_there_is_no_footprint(monkeypatch):
    monkeypatch.setattr("broker.inspect.footprint.find_spec", lambda name: None)
    with serving(CUBE) as served:
        assert all(hdu.footprint is None for hdu in look(None, served.url, anywhere=True).hdus)


def test_coordinates_that_kill_their_reader_are_none(monkeypatch):
    monkeypatch.setattr("broker.inspect.footprint._MODULE", "antigravity.none")
    with serving(CUBE) as served:
        found = look(None, served.url, anywhere=True)
    assert all(hdu.footprint is None for hdu in found.hdus)
    assert found.complete


# --- the rules of what may be fetched --------------------------------------------------------------------


def test_an_address_that_is_not_public_is_asked_nothing():
    with serving(CUBE) as served:
        for federation in (None, builtin_federation()):
            with pytest.raises(InputError, match="no public address"):
                look(federation, served.url)
        assert served.asked == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/key", "expected the object's https:// address"),
        ("file:///etc/passwd", "expected http or https"),
        ("https://ada:secret@example.org/a.fits", "holds a user name or password"),
        ("nothing", "has no scheme"),
    ],
)
def test_urls_that_cannot_be(url, words):
    with pytest.raises(InputError, match=words) as refused:
        look(None, url)
    assert "secret" not in str(refused.value)


def test_webdav_is_http():
    assert plain_url("davs://store.example/a") == "https://store.example/a"
    assert plain_url("dav://store.example/a") == "http://store.example/a"
