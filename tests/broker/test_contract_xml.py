"""Documents as XML: what the contract's `xml` entries say, wider reading, and what is refused."""

from contextlib import suppress
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Discriminator, Tag

from broker.contract import kinds
from broker.contract.codec import DEPTH_LIMIT, JSON, Malformed
from broker.contract.offerset import ExecutionRequest, OfferSetResponse
from broker.contract.options import EnumValueUpdate, IntegerDeltaUpdate
from broker.contract.read import check_request, read_update
from broker.contract.session import ScheduledSession
from broker.contract.wire import UNKNOWN, prune
from broker.contract.xml import XML, write_xml
from broker.contract.xml_names import from_name, to_name
from broker.model import Phase
from tests.broker import published_xml

# what XML can carry: no control characters but tab, line feed and carriage return
_CARRIED = st.characters(
    exclude_categories=["Cs", "Cc"], include_characters="\t\n\r", exclude_characters="\ufffe\uffff"
)
texts = st.text(_CARRIED, max_size=8)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_KINDS = [value for name, value in vars(kinds).items() if name.isupper() and isinstance(value, str)]
_FOREIGN = "https://example.org/kinds/nobody-knows.yaml"
_OWN_KINDS = {OfferSetResponse: kinds.OFFERSET, ScheduledSession: kinds.SCHEDULED_SESSION}


def documents(annotation, foreign=True):
    """Documents that a model, or another type of the wire, takes; `foreign`: of kinds unknown, too."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for mark in arguments[1:]:
            if isinstance(mark, Discriminator) and callable(mark.discriminator):
                return _alternatives(get_args(arguments[0]), mark.discriminator, foreign)
        return documents(arguments[0], foreign)
    if origin in (Union, UnionType):
        return st.one_of(documents(option, foreign) for option in arguments if option is not NoneType)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(documents(arguments[0], foreign), max_size=3)
    if origin is dict:
        return st.dictionaries(names, texts, max_size=3)
    if issubclass(annotation, BaseModel):
        kind = {"kind": st.just(_OWN_KINDS[annotation])} if annotation in _OWN_KINDS else {}
        return _members(annotation, foreign, **kind)
    if issubclass(annotation, Enum):
        return st.sampled_from([value.value for value in annotation])
    if annotation is int:
        return st.integers(-(2**31), 2**31 - 1)
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.booleans() if annotation is bool else texts


def _members(model, foreign, **given_members):
    members = {
        key: given_members[key] if key in given_members else documents(info.annotation, foreign)
        for key, info in model.model_fields.items()
    }
    required = {key for key, info in model.model_fields.items() if info.is_required()}
    return st.fixed_dictionaries(
        {key: members[key] for key in members if key in required},
        optional={key: members[key] for key in members if key not in required},
    )


def _alternatives(options, choose, foreign):
    found = []
    for option in options:
        model, *marks = get_args(option)
        tag = next(mark.tag for mark in marks if isinstance(mark, Tag))
        taken = [kind for kind in (*_KINDS, _FOREIGN) if choose({"kind": kind}) == tag]
        if foreign or tag != UNKNOWN:
            found.append(_members(model, foreign, kind=st.sampled_from(taken)))
    return st.one_of(found)


@pytest.mark.parametrize("model", [ExecutionRequest, OfferSetResponse, ScheduledSession])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_document_comes_back_as_it_was(model, data):
    document = data.draw(documents(model))
    model.model_validate_json(JSON.write(document))  # it is one
    written = write_xml(document, model)
    assert prune(XML.read(written)) == prune(document)
    ElementTree.fromstring(written)


@pytest.mark.parametrize(
    ("model", "schema", "root"),
    [
        (ExecutionRequest, "ExecutionRequest", "offers-request"),
        (OfferSetResponse, "OfferSetResponse", "offers-response"),
        (ScheduledSession, "AbstractExecutionSession", "execution"),
        (EnumValueUpdate, "AbstractUpdate", "EnumValueUpdate"),
        (IntegerDeltaUpdate, "AbstractUpdate", "IntegerDeltaUpdate"),
    ],
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_client_that_knows_the_published_contract_alone_reads_it(model, schema, root, data):
    document = data.draw(documents(model, foreign=False))
    found = ElementTree.fromstring(write_xml(document, model))
    assert found.tag == root
    assert prune(published_xml.read(found, schema)) == prune(document)


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (ExecutionRequest, "ExecutionRequest"),
        (OfferSetResponse, "OfferSetResponse"),
        (ScheduledSession, "SimpleExecutionSession"),
    ],
)
def test_the_root_is_called_as_the_published_contract_says(model, schema):
    assert ElementTree.fromstring(write_xml({}, model)).tag == published_xml.root_name(schema)


@given(names)
@example("")
@example("_x_")
@example("_x0041_")
@example("_x005F_")
@example("xmlns")
@example("a b:c")
@example("\U0001f600")
def test_any_text_is_the_name_of_an_element(text):
    name = to_name(text)
    assert from_name(name) == text
    assert ElementTree.fromstring(f"<{name}/>").tag == name


@pytest.mark.parametrize("name", ["site", "HTTP_PROXY", "a.b-c", "_private", "x_y"])
def test_a_name_that_is_one_stays(name):
    assert to_name(name) == name


def test_the_contract_s_names_attributes_and_lists():
    cost = {"kind": kinds.MINMAX_COST, "type": "urn:c", "min": 1.5, "max": 2}
    message = {"level": "INFO", "values": {"site": "a", "1 b": "c"}, "message": "m"}
    session = {
        "kind": kinds.SCHEDULED_SESSION,
        "meta": {"options": [{"kind": "uri:enum-value-option", "path": "/phase", "values": ["A", "B"]}]},
        "costs": [cost],
        "connectors": [{"kind": "urn:k", "location": "http://a/"}],
    }
    offerset = {
        "kind": kinds.OFFERSET,
        "meta": {"messages": [message, message]},
        "result": "YES",
        "offers": [session, session],
    }
    assert XML.read(XML.write(offerset)) == offerset
    root = ElementTree.fromstring(XML.write(offerset))
    assert (root.tag, root.attrib) == ("offers-response", {"kind": kinds.OFFERSET})
    assert [child.tag for child in root.find("offers")] == ["execution", "execution"]
    assert [child.tag for child in root.find("meta")] == ["message", "message"]
    # the kind of a message or a connector is an element, as every other member of it
    assert [(child.tag, child.text) for child in root.find("meta/message/values")] == [
        ("site", "a"),
        ("_x0031__x0020_b", "c"),
    ]
    execution = root.find("offers/execution")
    assert execution.find("connectors/kind").text == "urn:k"
    assert execution.find("cost").attrib == {"kind": kinds.MINMAX_COST}
    assert [child.text for child in execution.find("cost")] == ["urn:c", "1.5", "2"]
    assert [child.text for child in execution.findall("meta/options/values")] == ["A", "B"]


@pytest.mark.parametrize(
    ("document", "root"),
    [
        ({"kind": kinds.SCHEDULED_SESSION, "phase": "OFFERED"}, "execution"),
        ({"kind": kinds.DOCKER_CONTAINER}, "executable"),
        ({"kind": kinds.SIMPLE_COMPUTE}, "compute"),
        ({"kind": kinds.SIMPLE_STORAGE}, "storage"),
        ({"kind": kinds.SIMPLE_DATA}, "data"),
        ({"kind": kinds.SIMPLE_VOLUME}, "volumes"),
        ({"error": "no"}, "error"),
        ({"status": "ok"}, "document"),
    ],
)
def test_what_a_document_s_element_is_called(document, root):
    found = ElementTree.fromstring(XML.write(document))
    assert found.tag == root
    assert found.get("kind") == document.get("kind")


def test_a_document_of_no_model_is_written_member_by_member():
    session = {"kind": kinds.SCHEDULED_SESSION, "costs": [{"kind": kinds.MINMAX_COST, "min": 1}]}
    document = {"sessions": [session, session], "next": None, "well": True, "none": [], "deep": [[1, 2]]}
    root = ElementTree.fromstring(XML.write(document))
    assert [child.tag for child in root] == ["sessions", "sessions", "well", "deep"]
    # a session in it is as the contract has it
    assert root.find("sessions").get("kind") == kinds.SCHEDULED_SESSION
    assert root.find("sessions/cost").get("kind") == kinds.MINMAX_COST
    assert root.findtext("well") == "true"
    assert [child.text for child in root.find("deep")] == ["1", "2"]


def request(inner):
    return XML.read(f"<offers-request>{inner}</offers-request>".encode())


def executable(inner):
    return request(f"<executable kind='{kinds.DOCKER_CONTAINER}'>{inner}</executable>")["executable"]


def compute(inner):
    return request(f"<compute kind='{kinds.SIMPLE_COMPUTE}'>{inner}</compute>")["compute"]


@pytest.mark.parametrize(
    ("inner", "member", "value"),
    [
        ("<privileged>true</privileged>", "privileged", True),
        ("<privileged> 0\n</privileged>", "privileged", False),
        (
            "<environment><A>3</A><B>true</B><C/></environment>",
            "environment",
            {"A": "3", "B": "true", "C": ""},
        ),
        ("<environment/>", "environment", {}),
        ("<entrypoint> a\n</entrypoint>", "entrypoint", " a\n"),
        ("<entrypoint><![CDATA[<3>]]></entrypoint>", "entrypoint", "<3>"),
        ("<entrypoint>a<!-- said -->b</entrypoint>", "entrypoint", "ab"),
        ("<command>1</command>", "command", ["1"]),
        ("<command>1</command><command/>", "command", ["1", ""]),
        ("<command><command>a</command><command>b</command></command>", "command", ["a", "b"]),
        ("<image digest='d'/>", "image", {"digest": "d"}),
        ("<unknown>3</unknown>", "unknown", "3"),
        ("<unknown>3</unknown><unknown><a>4</a></unknown>", "unknown", ["3", {"a": "4"}]),
        (
            "<network><ports><internal><port>80</port></internal></ports></network>",
            "network",
            {"ports": [{"internal": {"port": 80}}]},
        ),
        (
            "<entrypoint xmlns:x='http://www.w3.org/2001/XMLSchema-instance' x:nil='true'/>",
            "entrypoint",
            None,
        ),
    ],
)
def test_the_models_say_what_a_text_is(inner, member, value):
    found = executable(inner)[member]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["4", " 4 ", "+4", "004"])
def test_integers(text):
    found = compute(f"<cores><min>{text}</min></cores>")["cores"]["min"]
    assert (found, type(found)) == (4, int)


@pytest.mark.parametrize("text", ["", "four", "4.5", "0x4", "NaN", "1e999", "4 4", "9" * 5000])
def test_what_is_no_integer_is_told_with_its_place(text):
    document = request(f"<compute kind='{kinds.SIMPLE_COMPUTE}'><cores><min>{text}</min></cores></compute>")
    with pytest.raises(Malformed) as caught:
        check_request(document)
    assert caught.value.faults[0].path == "/compute/cores/min"


_COST_DOCUMENT = {"kind": kinds.MINMAX_COST, "type": "urn:c", "max": 1.5}


@pytest.mark.parametrize(
    "inner",
    [
        "<cost kind='{kind}'><type>urn:c</type><max>1.5</max></cost>",
        "<cost><kind>{kind}</kind><type>urn:c</type><max>1.5</max></cost>",
        "<cost kind='{kind}' type='urn:c' max='1.5'/>",
        "<costs kind='{kind}'><type>urn:c</type><max>1.5</max></costs>",
        "<costs><cost kind='{kind}'><type>urn:c</type><max>1.5</max></cost></costs>",
        "<costs><costs kind='{kind}'><type>urn:c</type><max>1.5</max></costs></costs>",
        "<x:cost xmlns:x='urn:x' x:lang='en' kind='{kind}'><x:type>urn:c</x:type><max>1.5</max></x:cost>",
    ],
)
def test_a_list_and_a_kind_are_read_in_the_ways_that_clients_write_them(inner):
    assert request(inner.format(kind=kinds.MINMAX_COST)) == {"costs": [_COST_DOCUMENT]}


@pytest.mark.parametrize(
    "root",
    ["EnumValueUpdate", "enumValueUpdate", "enum-value-update", "AbstractUpdate", "update"],
)
@pytest.mark.parametrize(
    "form",
    [
        "<{0} kind='uri:enum-value-update'><path>/phase</path><value>ACCEPTED</value></{0}>",
        "<{0}><kind>uri:enum-value-update</kind><path>/phase</path><value>ACCEPTED</value></{0}>",
        "<{0} xmlns='urn:any' kind='uri:enum-value-update' path='/phase' value='ACCEPTED'/>",
    ],
)
def test_updates(root, form):
    assert read_update(XML.read(form.format(root).encode())) is Phase.ACCEPTED


_BOMB = (
    b"<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><offers-request>&b;</offers-request>"
)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not XML: no element found at line 1, column 1"),
        (b"<a>", "not XML: no element found at line 1, column 4"),
        (b"<a></b>", "not XML: mismatched tag at line 1, column 6"),
        (b"<a b='1' b='2'/>", "duplicate attribute"),
        (b"<x:a/>", "unbound prefix"),
        (b"\xff\xfe", "UTF-8"),
        (b"<?xml version='1.0' encoding='UTF-16'?><a/>", "XML in UTF-16 is not read here"),
        (b"<a>\x07</a>", "not XML"),
        (b"<a>&#7;</a>", "not XML"),
        (b"<a/><b/>", "junk after document element"),
        (b"<offers-request>&a;</offers-request>", "undefined entity"),
        (
            b'<!DOCTYPE x [<!ENTITY a "b">]><offers-request>&a;</offers-request>',
            "a DTD is not accepted at line 1",
        ),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><offers-request/>', "a DTD is not accepted"),
        (b'<!DOCTYPE x PUBLIC "a" "http://169.254.169.254/"><offers-request/>', "a DTD is not accepted"),
        (_BOMB, "a DTD is not accepted"),
        # copied into each element's name: a request of 1 MB would take minutes
        (b'<offers-request xmlns="%b"/>' % (b"x" * 400), "a namespace of more than 300 letters at line 1"),
        (b"<?php x?><offers-request/>", r"processing instruction \(<\?php\?>\) is not accepted at line 1"),
        (
            b"<offers-request>\n<?xml-stylesheet href='a'?></offers-request>",
            "not accepted at line 2, column 1",
        ),
        (
            b"<offers-request>\n text <compute/></offers-request>",
            "text between elements, in <offers-request>",
        ),
        (b"<offers-request><compute a='b'>x</compute></offers-request>", "/compute: text beside attributes"),
        (
            b"<offers-request><compute/>\n<compute/></offers-request>",
            "/compute: <compute> comes a second time at line 2",
        ),
        (
            b"<offers-request><compute kind='a'><kind>b</kind></compute></offers-request>",
            "/compute/kind: <kind> comes",
        ),
        (
            b"<offers-response><offers><a/></offers></offers-response>",
            "/offers/0: <a> at line 1: expected <execution>",
        ),
        (b"<a>" * (DEPTH_LIMIT + 1), "nested deeper than 64 at line 1"),
        (b"<a>" * 100_000, "nested deeper"),
        (b"<identity><username>_x0000_</username></identity>", None),
        (b"<identity><_x0000_/></identity>", "NUL"),
        (b"<identity><_xD800_/></identity>", "surrogate"),
        (b"<html/>", "<html> is no document that is read here"),
    ],
)
def test_xml_that_is_refused(body, said):
    if said is None:
        assert XML.read(body) == {"username": "_x0000_"}  # only names have escapes
        return
    with pytest.raises(Malformed, match=said) as caught:
        XML.read(body)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="<>/&;'\"= axk?!-[]\n", max_size=60) | st.text(max_size=30))
def test_any_bytes_are_a_document_or_malformed(text):
    for body in (text, f"<offers-request>{text}</offers-request>"):
        with suppress(Malformed):
            JSON.write(XML.read(body.encode(errors="surrogatepass")))


def test_a_megabyte_of_elements_is_read_within_seconds():
    body = b"<offers-request>" + b"<a/>" * 250_000 + b"</offers-request>"
    assert len(XML.read(body)["a"]) == 250_000


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\ud800", "\ufffe"])
def test_a_character_that_xml_cannot_carry_does_not_break_the_answer(character):
    document = {"kind": kinds.OFFERSET, "result": "NO", "description": f"a{character}b", character: "c"}
    root = ElementTree.fromstring(XML.write(document))
    assert root.findtext("description") == "a\ufffdb"
    assert root.get("kind") == kinds.OFFERSET
