"""Headers longer than what is asked for at first, over HTTP: one request more, and few bytes more."""

import pytest

from broker.inspect import far
from broker.inspect.walk import MOST_HEADER_BYTES
from tests.broker.data_inspect.files import LONGEST, image, simple
from tests.broker.data_inspect.serving import serving


def read(served):
    return far.read_headers(served.url, None, None)


@pytest.mark.parametrize("cards", [300, 5000, LONGEST])
def test_the_rest_of_a_long_header_comes_by_one_request_to_its_end(cards):
    content = image(cards, first=True) + image(20)
    with serving(content) as served:
        said = read(served)
    assert (len(said["hdus"]), said["faults"]) == (2, [])
    assert said["requests"] == len(served.asked) == 3
    first = len(said["hdus"][0]["header"])
    # twice the first one's: the second is expected to be as long
    assert said["bytes"] <= 2 * first + far.SHORT_REST_BYTES


def test_an_answer_whose_rest_is_short_is_read_to_its_end_and_the_connection_used_again():
    with serving(image(300, first=True, data=57_600) + image(20, data=2_880)) as served:
        said = read(served)
    assert (len(said["hdus"]), said["faults"]) == (2, [])
    assert (said["requests"], served.connections) == (2, 1)


def test_one_whose_rest_is_long_is_left():
    with serving(image(300, first=True) + image(20)) as served:
        said = read(served)
    assert (said["requests"], served.connections) == (3, 2)


def test_without_ranges_a_long_header_is_looked_for_in_what_came():
    def whole(handler, served):
        handler.send(200, served.content)
        return True

    with serving(image(1000, first=True), whole) as served:
        said = read(served)
    assert (len(said["hdus"]), said["requests"]) == (1, 1)
    with serving(image(5000, first=True), whole) as served:
        said = read(served)
    assert "gives no ranges" in said["error"]


def test_an_answer_that_ends_within_the_header_is_asked_for_again_and_then_said():
    def half(handler, served):
        first = int(handler.headers["Range"].removeprefix("bytes=").split("-")[0])
        if first == 0:
            return False
        size = len(served.content)
        part = served.content[first : first + 5760]
        place = f"bytes {first}-{size - 1}/{size}"
        handler.send(206, part, **{"Content-Range": place, "Content-Length": str(size - first)})
        handler.close_connection = True
        return True

    with serving(image(2000, first=True), half) as served:
        said = read(served)
    assert "the answer ended early: 5760 of" in said["error"]
    assert len(served.asked) == 1 + far.ATTEMPTS


def test_a_header_without_an_end_is_read_no_further_than_the_bound():
    endless = simple().replace(b"END", b"   ") + b"HISTORY".ljust(80) * 100_000
    with serving(endless) as served:
        said = read(served)
    assert f"no END within {MOST_HEADER_BYTES} bytes" in said["error"]
    assert len(served.asked) == 2
