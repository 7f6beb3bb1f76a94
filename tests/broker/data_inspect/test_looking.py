"""Files on servers, good ones and bad ones: what is asked of them, and what is said where it doesn't work."""

import io
import socket
import time
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from broker.inspect import far
from broker.inspect.access import authorised
from broker.inspect.document import inspection_document
from broker.inspect.looking import NoFitsError, look, plain_url
from federation.catalogue import builtin_federation
from federation.errors import InputError, OutsideError
from tests.broker.data_inspect.serving import serving
from tests.broker.data_inspect.test_walk import header
from tests.federation.sshd import seen_by_everybody, ssh_server

MIB = 1024 * 1024


def sky(width, height):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [150, 2], [width / 2, height / 2], [-1e-3, 1e-3]
    return wcs


def cube():
    header = sky(300, 400).to_header()
    header["BUNIT"] = "Jy/beam"
    image = np.zeros((20, 400, 300), "f4")
    rows = fits.BinTableHDU.from_columns([fits.Column("freq", "D", unit="Hz", array=np.arange(5000.0))])
    rows.name = "CHANNELS"
    buffer = io.BytesIO()
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(image, header, name="SCI"),
            fits.CompImageHDU(image[0], header),
            rows,
        ]
    ).writeto(buffer)
    return buffer.getvalue()


CUBE = cube()


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
        ("nothing", "expected http or https"),
    ],
)
def test_urls_that_cannot_be(url, words):
    with pytest.raises(InputError, match=words) as refused:
        look(None, url)
    assert "secret" not in str(refused.value)


def test_webdav_is_http():
    assert plain_url("davs://store.example/a") == "https://store.example/a"
    assert plain_url("dav://store.example/a") == "http://store.example/a"


# --- servers that do it otherwise ------------------------------------------------------------------------


def read(served):
    """What the child process says, without the process."""
    return far.read_headers(served.url, None, None)


def test_a_server_without_ranges_is_left_early():
    def whole(handler, served):
        handler.send(200, served.content)
        return True

    with serving(CUBE, whole) as served:
        said = read(served)
    assert (said["requests"], len(said["hdus"])) == (1, 2)
    assert said["bytes"] == far.WITHOUT_RANGES_BYTES < len(CUBE)
    assert not said["whole"]
    assert "gives no ranges: only the first 262144 bytes" in said["faults"][0]


def test_a_small_file_needs_no_ranges():
    def whole(handler, served):
        handler.send(200, served.content)
        return True

    with serving(CUBE[: 2880 * 2], whole) as served:
        said = read(served)
    assert said["faults"] == [
        f"truncated: HDU 1 ends at byte {5760 + 20 * 400 * 300 * 4}, and the file has 5760 bytes"
    ]


def test_a_server_that_does_not_say_the_size():
    def unsaid(handler, served):
        first, last = (int(word) for word in handler.headers["Range"].removeprefix("bytes=").split("-"))
        part = served.content[first : last + 1]
        if not part:
            handler.send(416, b"")
        else:
            handler.send(206, part, **{"Content-Range": f"bytes {first}-{first + len(part) - 1}/*"})
        return True

    with serving(CUBE, unsaid) as served:
        said = read(served)
    assert (len(said["hdus"]), said["whole"], said["size_bytes"], said["faults"]) == (4, True, None, [])


def second(answer):
    """Misbehaves from the second request on."""

    def misbehave(handler, served):
        if len(served.asked) == 1:
            return False
        return answer(handler, served)

    return misbehave


def sends(status, body=b"", **headers):
    def answer(handler, served):
        handler.send(status, body, **headers)
        return True

    return answer


def hangs_up(handler, served):
    handler.close_connection = True
    return True


def changes(handler, served):
    served.etag = '"two"'
    return False


def grows(handler, served):
    first = int(handler.headers["Range"].removeprefix("bytes=").split("-")[0])
    place = f"bytes {first}-{first + 11519}/{len(served.content) + 1}"
    handler.send(206, bytes(11520), **{"Content-Range": place})
    return True


def half(handler, served):
    first = int(handler.headers["Range"].removeprefix("bytes=").split("-")[0])
    size = len(served.content)
    place = f"bytes {first}-{first + 11519}/{size}"
    handler.send(206, b"XTENSION", **{"Content-Range": place, "Content-Length": "11520"})
    handler.close_connection = True
    return True


LATER = [
    (sends(404), "the server answered 404"),
    (sends(403), "the server answered 403"),
    (sends(503), "the server answered 503"),
    (hangs_up, "the connection broke"),
    (changes, "the file changed while it was read"),
    (sends(206, b"x" * 100, **{"Content-Range": "bytes 5-104/9999"}), "asked for bytes from"),
    (sends(206, b"x" * 100, **{"Content-Range": "nonsense"}), "Content-Range can't be read"),
    (sends(206, b"x" * 100), "Content-Range can't be read"),
    (grows, "changed while it was read"),
    (half, "the answer ended early: 8 of 11520 bytes came"),
    (sends(206, b"x", **{"Content-Encoding": "gzip", "Content-Range": "bytes 0-0/1"}), "sends it packed"),
]


@pytest.mark.parametrize(("answer", "words"), LATER, ids=[words for _, words in LATER])
def test_a_fault_on_the_way_leaves_what_was_read(answer, words):
    with serving(CUBE, second(answer)) as served:
        said = read(served)
    assert len(said["hdus"]) == 2
    assert not said["whole"]
    (fault,) = said["faults"]
    assert words in fault
    assert fault.startswith("HDU 2, at byte 9")
    assert len(served.asked) <= 4


FIRST = [
    (sends(404), OutsideError, "the server answered 404"),
    (sends(401), OutsideError, "the server answered 401"),
    (hangs_up, OutsideError, "the connection broke"),
    (sends(200, b"<html>log in</html>"), NoFitsError, "a page"),
    (sends(200, b"\x1f\x8b\x08"), NoFitsError, "packed with gzip"),
    (sends(416), NoFitsError, "the file is empty"),
    (sends(302, Location="http://169.254.169.254/latest"), InputError, "no public address"),
    (sends(302, Location="file:///etc/passwd"), OutsideError, "which is not followed"),
]


@pytest.mark.parametrize(("answer", "error", "words"), FIRST, ids=[words for _, _, words in FIRST])
def test_nothing_can_be_read(answer, error, words, federation_of_loopback):
    with serving(CUBE, answer) as served, pytest.raises(error, match=words) as refused:
        look(federation_of_loopback(served), f"{served.url}?token=abc")
    assert "\n" not in str(refused.value)
    assert "abc" not in str(refused.value)


@pytest.fixture
def federation_of_loopback():
    def federation(served):
        known = builtin_federation()
        first = replace(next(iter(known)), data_hosts=(served.url.split("/")[2],))
        return replace(known, sites={first.id: first})

    return federation


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


def test_a_server_that_says_nothing_takes_no_more_than_the_limit():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(OutsideError, match=r"not done within 0\.5 s"):
            look(None, f"http://127.0.0.1:{silent.getsockname()[1]}/a", True, time_limit_seconds=0.5)
        assert time.monotonic() - begun < far.STALL_SECONDS


def test_what_is_read_of_a_hostile_file_is_bounded():
    """Extensions that each begin far behind the last, and never end."""
    extension = header("XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 28800")

    def endless(handler, served):
        first, last = (int(word) for word in handler.headers["Range"].removeprefix("bytes=").split("-"))
        start = header("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0") + extension if first == 0 else extension
        body = start.ljust(last + 1 - first)
        handler.send(206, body, **{"Content-Range": f"bytes {first}-{last}/{10**15}"})
        return True

    with serving(b"", endless) as served:
        said = read(served)
    assert said["requests"] <= far.MOST_REQUESTS
    assert said["bytes"] <= far.MOST_BYTES
    assert "stopped after 200 requests" in said["faults"][0]
