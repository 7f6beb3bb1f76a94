"""What clients that test the reference broker send to be denied, denied by the built-in sites."""

from pathlib import Path

import pytest

import federation as ground_floor
from broker.records import Owner
from broker.service import Broker
from federation.catalogue import load_federation
from tests.broker.conftest import KINDS, make_document

BUILT_IN = Path(ground_floor.__file__).with_name("data") / "simulated.toml"
ANN = Owner("ann-uuid", "ann")


@pytest.fixture
def broker(settings, engine, clock):
    return Broker(settings, load_federation(BUILT_IN), engine, clock, online=False)


def with_port(number, path):
    document = make_document()
    port = {"access": True, "protocol": "HTTP", "internal": {"port": number}, "path": path}
    document["executable"]["network"] = {"ports": [port]}
    return document


def notebook(which):
    return make_document(
        executable={
            "kind": KINDS + "executable/jupyter-notebook.yaml",
            "location": f"http://example.com/{which}.ipynb",
        }
    )


def data(kind, **block):
    return make_document() | {"data": [{"kind": KINDS + f"data/{kind}.yaml", **block}]}


def s3(which):
    block = {
        "endpoint": f"https://s3.{which}.example.com",
        "template": "https://{bucket}.s3.example.com/{object}",
        "bucket": "bucket",
        "object": "object",
    }
    return data("S3-data-resource", **block)


def ivoa(ivoid):
    block = {"ivoid": ivoid, "obscore": {"access_url": "http://data.example.org/x.fits"}}
    return data("ivoa-data-resource", ivoa=block)


def skao(namespace):
    replica = {"rsename": "PERTH-DISK", "dataurl": "http://10.77.1.2:8080/x.fits"}
    block = {"namespace": namespace, "objectname": "x.fits", "datasize": 10, "replicas": [replica]}
    return data("skao-data-resource", skao=block)


PAIRS = [
    (with_port(1234, "/path"), with_port(1235, "/path")),
    (with_port(5678, "/path"), with_port(5679, "/path")),
    (with_port(80, "/badpath"), with_port(80, "/goodpath")),
    (with_port(80, "/alsobadpath"), with_port(80, "/alsogoodpath")),
    (notebook("excluded-one"), notebook("included")),
    (notebook("excluded-two"), notebook("included")),
    (
        make_document(data=["http://example.com/excluded.dat"]),
        make_document(data=["http://example.com/x.dat"]),
    ),
    (
        make_document(data=["http://example.com/excluded.vot"]),
        make_document(data=["http://example.com/x.vot"]),
    ),
    (s3("excluded-one"), s3("included")),
    (s3("excluded-two"), s3("included")),
    (ivoa("ivo://example.com/excluded"), ivoa("ivo://example.com/included")),
    (ivoa("ivo://example.com/forbidden"), ivoa("ivo://example.com/included")),
    (skao("excluded-namespace-one"), skao("included")),
    (skao("excluded-namespace-two"), skao("included")),
]


def test_the_denied_is_a_no_and_its_neighbour_a_yes(broker):
    for denied, allowed in PAIRS:
        answer = broker.request(denied, ANN)
        assert not answer.yes, denied
        assert [note.kind for note in answer.notes].count("policy-denied") == 5, denied
        assert broker.request(allowed, ANN).yes, allowed
