"""What runs: containers, Singularity images and notebooks, and the ports that a container publishes."""

import pytest

from broker.contract import kinds
from broker.model import ExecutableKind, Level, Port
from tests.broker.conftest import DIGEST, make_document
from tests.broker.reading import parse, reasons


def located(kind, location=None):
    place = {} if location is None else {"location": location}
    return {"executable": {"kind": kind, "meta": {"name": "x"}} | place}


def with_ports(*ports):
    document = make_document()
    document["executable"]["network"] = {"ports": list(ports)}
    return document


def test_a_digest_is_optional_but_not_arbitrary():
    document = make_document()
    document["executable"]["image"] = {"locations": ["localhost/x:1"]}
    assert parse(document)[0].executable.digest is None
    document["executable"]["image"]["digest"] = DIGEST.upper()
    assert reasons(document) == {("invalid-value", "/executable/image/digest")}


@pytest.mark.parametrize(
    ("kind", "location", "means"),
    [
        (kinds.SINGULARITY_CONTAINER, "https://example.org/x.sif", ExecutableKind.SINGULARITY),
        (kinds.SINGULARITY_CONTAINER, "docker://ghcr.io/ivoa/x:1", ExecutableKind.SINGULARITY),
        (kinds.SINGULARITY_CONTAINER, f"oras://ghcr.io/ivoa/x@{DIGEST}", ExecutableKind.SINGULARITY),
        (kinds.JUPYTER_NOTEBOOK, "https://example.org/x.ipynb", ExecutableKind.NOTEBOOK),
    ],
)
def test_what_is_at_a_location(kind, location, means):
    executable = parse(located(kind, location))[0].executable
    assert (executable.kind, executable.locations, executable.name) == (means, (location,), "x")


@pytest.mark.parametrize("kind", [kinds.SINGULARITY_CONTAINER, kinds.JUPYTER_NOTEBOOK])
@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (None, "missing-value"),
        ("", "missing-value"),
        ("x.ipynb", "invalid-value"),
        ("file:///etc/passwd", "invalid-value"),
        ("docker://", "invalid-value"),
        ("library://-v x", "invalid-value"),
        ("http://ada:secret@example.org/x", "invalid-value"),
        ("http://example.org/a b", "invalid-value"),
    ],
)
def test_locations_at_which_there_is_nothing(kind, location, reason):
    assert reasons(located(kind, location)) == {(reason, "/executable/location")}


def test_a_notebook_is_not_in_a_registry():
    document = located(kinds.JUPYTER_NOTEBOOK, "docker://ghcr.io/ivoa/x:1")
    assert reasons(document) == {("invalid-value", "/executable/location")}


def test_ports():
    request, _ = parse(
        with_ports(
            {"internal": {"port": 8888}, "protocol": "HTTP", "path": "lab/tree", "access": True},
            {"internal": {"port": 53}},
            {"internal": {"port": 53}, "protocol": "UDP"},
        )
    )
    assert request.executable.ports == (
        Port(8888, "HTTP", "/lab/tree", access=True),
        Port(53, "TCP"),
        Port(53, "UDP"),
    )


@pytest.mark.parametrize(
    ("port", "found"),
    [
        ({}, {("missing-value", "internal/port")}),
        ({"internal": {}}, {("missing-value", "internal/port")}),
        ({"internal": {"port": -1}}, {("invalid-value", "internal/port")}),
        ({"internal": {"port": 65536}}, {("invalid-value", "internal/port")}),
        ({"internal": {"port": 80}, "protocol": "http"}, {("invalid-value", "protocol")}),
        ({"internal": {"port": 80}, "external": {"port": 80}}, {("not-supported", "external")}),
        ({"internal": {"port": 80}, "protocol": "HTTP", "path": "/a?b"}, {("invalid-value", "path")}),
        ({"internal": {"port": 80}, "protocol": "HTTP", "path": "/a\nb"}, {("invalid-value", "path")}),
        # TCP and HTTP are one transport
        ({"internal": {"port": 22}, "protocol": "HTTP"}, {("duplicate-resource", "internal/port")}),
        (
            {"protocol": "GOPHER", "internal": {"port": 0}, "external": {"port": 80}},
            {
                ("invalid-value", "protocol"),
                ("invalid-value", "internal/port"),
                ("not-supported", "external"),
            },
        ),
    ],
)
def test_ports_that_cannot_be_published(port, found):
    at = "/executable/network/ports/1"
    document = with_ports({"internal": {"port": 22}}, port)
    assert reasons(document) == {(kind, f"{at}/{path}") for kind, path in found}


@pytest.mark.parametrize(
    "port", [{"path": "/a?b"}, {"external": {"port": 1}}, {"path": "/a", "protocol": "TCP"}]
)
def test_what_is_said_of_a_port_does_not_hide_where_it_is(port):
    (_, notes) = parse(with_ports({"internal": {"port": 80}, "protocol": "HTTP"} | port))
    (note,) = [note for note in notes if note.path and note.path.startswith("/executable/network")]
    assert "path" not in note.values


@pytest.mark.parametrize(
    ("image", "right"),
    [
        ("localhost:5000/x:1", True),
        (f"ghcr.io/ivoa/x:1@{DIGEST}", True),
        ("ada:secret@ghcr.io/ivoa/x", False),
        ("ada:secret@ghcr.io:443/ivoa/x", False),
        ("https://ada:secret@ghcr.io/ivoa/x", False),
        (f"ada:secret@ghcr.io/ivoa/x@{DIGEST}", False),
    ],
)
def test_an_image_has_no_password_and_none_is_repeated(image, right):
    document = make_document()
    document["executable"]["image"] = {"locations": [image]}
    assert reasons(document) == (set() if right else {("invalid-value", "/executable/image/locations/0")})
    assert not any("secret" in note.text for note in parse(document)[1])
    refused = reasons(located(kinds.SINGULARITY_CONTAINER, f"docker://{image}"))
    assert refused == (set() if right else {("invalid-value", "/executable/location")})


def test_a_path_where_no_url_leads_is_ignored_and_told():
    document = with_ports({"internal": {"port": 22}, "path": "/x"})
    assert ("ignored-value", "/executable/network/ports/0/path") in reasons(document, Level.WARN)
    assert parse(document)[0].executable.ports == (Port(22),)


def test_more_ports_than_a_host_has_to_give():
    document = with_ports(*({"internal": {"port": number}} for number in range(1, 102)))
    assert reasons(document) == {("resource-limit", "/executable/network/ports")}
