"""Which codec reads and which writes."""

from xml.etree import ElementTree

import pytest

from broker.contract.codec import Fault, Malformed
from broker.http.media import Refused, choose_reader, choose_writer, malformed


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "application/xml"),
        ("application/yaml", "application/yaml"),
        ("Application/YAML", "application/yaml"),
        ("text/yaml", "text/yaml"),
        ("application/yaml;q=0.5, application/json;q=0.4", "application/yaml"),
        ("application/yaml;q=0.4, application/json;q=0.5", "application/json"),
        ("application/json;q=0, */*", "text/json"),
        ("application/json;q=0, application/*", "application/yaml"),
        ("application/xml, application/yaml;q=0.1", "application/xml"),
        ("text/xml", "text/xml"),
        ("text/*", "text/json"),
        ("application/xml;q=0.5, application/json;q=0.6", "application/json"),
        ("application/xml, application/json", "application/json"),
        ("image/png, application/xml;q=0.001", "application/xml"),
        ("application/json;q=nonsense, application/yaml;q=0.1", "application/yaml"),
    ],
)
def test_the_best_that_is_accepted_is_written(accept, media_type):
    assert choose_writer(accept).media_type == media_type


@pytest.mark.parametrize(
    "accept", ["image/png", "application/json;q=0", "nonsense", ",", "text/plain, image/*"]
)
def test_nothing_acceptable_is_a_406(accept):
    with pytest.raises(Refused, match="application/json") as caught:
        choose_writer(accept)
    assert caught.value.status == 406


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (None, "JSON"),
        ("application/json", "JSON"),
        ("application/json; charset=UTF-8", "JSON"),
        ("application/vnd.x+json", "JSON"),
        ("application/yaml", "YAML"),
        ("text/x-yaml;charset=utf-8", "YAML"),
        ("application/openapi+yaml", "YAML"),
        ("application/xml", "XML"),
        ("text/xml; charset=utf-8", "XML"),
        ("application/x-votable+xml", "XML"),
    ],
)
def test_what_is_read(content_type, name):
    assert choose_reader(content_type).name == name


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "json", ";"])
def test_what_is_not_read_is_a_415(content_type):
    with pytest.raises(Refused, match="application/json, application/yaml and application/xml") as caught:
        choose_reader(content_type)
    assert caught.value.status == 415


def test_a_charset_that_is_not_read():
    with pytest.raises(Refused, match="utf-8") as caught:
        choose_reader("application/json; charset=latin-1")
    assert caught.value.status == 415


def test_an_error_in_xml_has_the_members_that_it_has_in_json():
    error = malformed(Malformed(Fault("expected <a>\a & b", "/x"), Fault("and this", "/y")))
    answer = choose_writer("application/xml").response(error.document, error.status)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/xml")
    assert answer.headers["vary"] == "Accept, Authorization"
    root = ElementTree.fromstring(bytes(answer.body))
    assert root.tag == "error"
    # a control character, which XML can't carry, doesn't break the answer
    assert [(child.tag, child.text) for child in root] == [
        ("error", "expected <a>\ufffd & b"),
        ("path", "/x"),
        ("errors", None),
        ("errors", None),
    ]
    assert [child.findtext("path") for child in root.findall("errors")] == ["/x", "/y"]
