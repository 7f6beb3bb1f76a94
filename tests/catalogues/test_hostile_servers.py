"""Data servers that anybody may name, and that mean ill: one line, soon, and nothing out of bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.catalogues import MOST_BYTES, CatalogueError, webdav
from broker.catalogues.fields import bytes_in, size
from broker.catalogues.http import HttpCatalogue
from broker.catalogues.ivoa_datalink import the_data
from broker.catalogues.ivoa_services import MOST_ROWS, _query
from broker.catalogues.ivoa_votable import VotableError, error_in, rows
from broker.catalogues.webdav import DavError, TooManyError, files_below
from broker.catalogues.xml_reading import LONGEST_NAMESPACE, read_xml
from broker.model import Note
from netprobe.mover_ask import Answer, Request
from tests.catalogues.serving import federation
from tests.federation.raw_server import raw_server

LONG = "x" * (LONGEST_NAMESPACE + 1)
DATALINK = (
    '<VOTABLE><RESOURCE type="results"><TABLE><FIELD name="ID"/><FIELD name="access_url"/><FIELD '
    'name="semantics"/><FIELD name="content_length"/><DATA><TABLEDATA><TR><TD>ivo://a</TD><TD>http://h/a</TD>'
    "<TD>#this</TD><TD>{}</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
)
DAV = (
    '<multistatus xmlns="DAV:"><response><href>/d/</href><propstat><prop><resourcetype><collection/>'
    "</resourcetype></prop><status>HTTP/1.1 200 OK</status></propstat></response><response><href>{}</href>"
    "<propstat><prop><getcontentlength>{}</getcontentlength></prop><status>HTTP/1.1 200 OK</status>"
    "</propstat></response></multistatus>"
)
FOLDER = (
    "<response><href>{}</href><propstat><prop><resourcetype><collection/></resourcetype></prop>"
    "<status>HTTP/1.1 200 OK</status></propstat></response>"
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # the parser copies it into each element's name: these took minutes
        (f'<V xmlns="{LONG}"><a/></V>', "namespace"),
        (f"<V xmlns:p='{LONG}'><p:a/></V>", "namespace"),
        (f'<V xmlns="{"&#65;" * (LONGEST_NAMESPACE + 1)}"/>', "namespace"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><V>&b;</V>', "DTD"),
        ('<!DOCTYPE a SYSTEM "http://169.254.169.254/"><V/>', "DTD"),
        ("<a>\ud800</a>", "surrogates"),
        ("<a>" * 50_000, "no XML"),
        ("", "no XML"),
    ],
    ids=["namespace", "prefix", "references", "entity", "external", "half a pair", "deep", "empty"],
)
def test_xml_that_would_cost_more_than_its_length_is_none(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_xml(text)


def test_xml_that_is_large_and_deep_is_read() -> None:
    assert read_xml(f"{'<a>' * 50_000}{'</a>' * 50_000}").tag == "a"
    assert read_xml('<a xmlns="DAV:"/>').tag == "{DAV:}a"


MARKUP = st.text(alphabet='<>/="!?&;:# abVOTABLERSUT[]-', max_size=60) | st.text(max_size=30)


@settings(max_examples=200)
@given(MARKUP, MARKUP)
def test_whatever_a_service_answers_is_a_table_or_named(inside: str, cell: str) -> None:
    table = (
        f"<VOTABLE><RESOURCE><TABLE>{inside}<FIELD name='a'/><DATA>{cell}</DATA></TABLE></RESOURCE></VOTABLE>"
    )
    for body in (inside, f"<VOTABLE>{inside}</VOTABLE>", table, DATALINK.format(cell)):
        try:
            rows(body, "it")
            the_data(body, "ivo://a", "it")
        except CatalogueError as problem:
            assert len(str(problem)) < 400  # noqa: PT017 - it need not be raised
        error_in(body)


@pytest.mark.parametrize("text", ["²", "٣", "-1", "+1", "1e3", "9" * 19, "9" * 5000, "", " 1", "0x1", "1_0"])
def test_what_is_no_size_is_not_known(text: str) -> None:
    assert bytes_in(text) is None
    [link] = the_data(DATALINK.format(text.strip() or "-"), "ivo://a", "it")
    assert link.size_bytes in (None, 1)
    found = files_below("http://h/d/", answering(DAV.format("/d/a", text.strip() or "-")))
    assert found is not None
    assert found[0].size_bytes in (None, 1)


@pytest.mark.parametrize("length", ["²", "9" * 19, "9" * 5000, "-5"])
def test_a_length_that_there_can_t_be_is_not_known(length: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode("latin-1")
    with raw_server(lambda connection: connection.sendall(head)) as host:
        found = HttpCatalogue(federation(), True).resolve(
            "u", "cube", {"location": f"http://{host}/a"}, "/data/0"
        )
    assert found.item is not None
    assert found.item.size_bytes is None
    assert "the server doesn't say" in found.notes[0].text


@pytest.mark.parametrize("given_size", [-1, 10**400, MOST_BYTES + 1, True, 1.5, "1", [0] * 10_000])
def test_a_size_that_a_client_makes_up_is_told(given_size: Any) -> None:
    notes: list[Note] = []
    assert size({"n": given_size}, "n", "cube", "/data/0", notes) is None
    assert "expected a whole number of bytes" in notes[0].text
    assert len(notes[0].text) < 300


def answering(*bodies: str) -> webdav.Ask:
    """Each level of folders with the next of `bodies`."""
    left = list(bodies)

    def ask(requests: Sequence[Request]) -> Sequence[Answer]:
        body = left.pop(0)
        return [Answer(number, 207, {}, body, True) for number in range(len(requests))]

    return ask


@pytest.mark.parametrize(
    "href", ["/d/%2e%2e", "/d/..", "/d/a%2fb", "/d/a/b", "/x", "http://[::1/d/a", "/d/%00", "/d/a\x1b", ""]
)
def test_a_folder_lists_what_is_in_it(href: str) -> None:
    with pytest.raises(DavError) as raised:
        files_below("http://h/d/", answering(DAV.format(href, 1)))
    assert len(str(raised.value)) < 300


def test_folders_are_asked_for_a_part_at_a_time() -> None:
    """A thousand folders of as much as one may say would be 32 GB."""
    names = [f"/d/{number}/" for number in range(300)]
    root = f'<multistatus xmlns="DAV:">{"".join(map(FOLDER.format, ["/d/", *names]))}</multistatus>'
    asked: list[tuple[int, int]] = []

    def ask(requests: Sequence[Request]) -> Sequence[Answer]:
        asked.append((len(requests), sum(each.most_bytes for each in requests)))
        first = len(asked) == 1
        bodies = [
            root
            if first
            else f'<multistatus xmlns="DAV:">{FOLDER.format(each.url.removeprefix("http://h"))}</multistatus>'
            for each in requests
        ]
        return [Answer(number, 207, {}, body, True) for number, body in enumerate(bodies)]

    assert files_below("http://h/d/", ask) == []
    assert [count for count, _ in asked] == [1, 128, 128, 44]
    assert max(most for _, most in asked) <= 2**30


def test_what_all_folders_say_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdav, "ALL_BYTES", 100)
    with pytest.raises(TooManyError, match="takes more than 100 bytes to say"):
        files_below("http://h/d/", answering(DAV.format("/d/a", 1)))


def test_of_a_service_s_rows_a_few_are_read() -> None:
    body = "access_url\r\n" + "http://h/\r\n" * 10_000
    found = _query("http://h", "SELECT", lambda request: Answer(0, 200, {}, body, True))
    assert len(found) == MOST_ROWS


def test_a_namespace_is_named_for_what_it_is() -> None:
    with pytest.raises(VotableError, match="it is no VOTable"):
        rows(f'<VOTABLE xmlns="{LONG}"/>', "it")
