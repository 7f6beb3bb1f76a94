"""Servers that answer otherwise than they should: what is asked of them, and what is said then."""

import socket

import pytest

from broker.inspect import far
from broker.inspect.looking import NoFitsError, look
from federation.errors import InputError, OutsideError
from tests.broker.data_inspect.files import CUBE, header
from tests.broker.data_inspect.serving import serving


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


def test_a_server_that_says_nothing_takes_no_more_than_the_limit():
    # else it would be told of the server, after far.STALL_SECONDS
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(OutsideError, match=r"not done within 0\.5 s"),
    ):
        look(None, f"http://127.0.0.1:{silent.getsockname()[1]}/a", True, time_limit_seconds=0.5)


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
