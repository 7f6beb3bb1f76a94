"""What sites deny: registries, unpinned images, ports, paths, notebooks and data, however they are spelt."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import federation as ground_floor
from broker.model import DataItem, ExecutableKind, Level, Limit, Port, Replica
from broker.offers import price
from broker.offers.changes import applied
from broker.offers.locations import DOCKER, location, registry, url_matches
from federation.catalogue import load_federation
from federation.sites import Policy
from tests.broker.conftest import make_data, make_federation, make_request, make_site
from tests.broker.offering import ask, sites

BUILT_IN = Path(ground_floor.__file__).with_name("data") / "simulated.toml"


def one(**policy):
    site = make_site("perth", -31.95, 115.86)
    return make_federation(replace(site, policy=Policy(**policy)))


def running(executable=None, **changes):
    request = make_request()
    return replace(request, executable=replace(request.executable, **changes))


def reasons(federation, request):
    """(kind, path) of the reasons of a NO; nothing where it is a YES."""
    offers = ask(federation, request)
    if offers.placements:
        return []
    assert all(note.level is Level.ERROR and "{" not in note.text for note in offers.notes)
    return [(note.kind, note.path) for note in offers.notes[1:]]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("alpine", DOCKER),
        ("alpine:3.22", DOCKER),
        ("library/alpine", DOCKER),
        ("docker.io/library/alpine", DOCKER),
        ("index.docker.io/library/alpine", DOCKER),
        ("Docker.IO:443/library/alpine", DOCKER),
        ("ghcr.io/a/b@sha256:" + "ab" * 32, "ghcr.io"),
        ("registry.example.org:5000/a", "registry.example.org:5000"),
        ("REGISTRY.example.org./a", "registry.example.org"),
        ("localhost/mine", "localhost"),
        ("docker://ghcr.io/a/b", "ghcr.io"),
        ("docker://alpine", DOCKER),
        ("oras://ghcr.io/a/b", "ghcr.io"),
        ("library://user/collection/image", "library.sylabs.io"),
        ("https://user@images.example.org:443/a.sif", "images.example.org"),
    ],
)
def test_every_image_has_a_registry(image, name):
    assert registry(image) == name


@pytest.mark.parametrize(
    ("policy", "image", "refused"),
    [
        ({"denied_registries": ("docker.io",)}, "alpine", True),
        ({"denied_registries": ("docker.io",)}, "index.docker.io/library/alpine", True),
        ({"denied_registries": ("docker.io",)}, "ghcr.io/a/b", False),
        ({"denied_registries": ("*.evil.example",)}, "images.EVIL.example:5000/a", True),
        ({"allowed_registries": ("ghcr.io",)}, "alpine", True),
        ({"allowed_registries": ("ghcr.io",)}, "ghcr.io/a/b", False),
        ({"allowed_registries": ("example.org:5000",)}, "example.org:5000/a", False),
        ({"allowed_registries": ("example.org:5000",)}, "example.org:5001/a", True),
        ({"allowed_registries": ("*",), "denied_registries": ("*",)}, "ghcr.io/a/b", True),
    ],
)
def test_registries(policy, image, refused):
    found = reasons(one(**policy), running(locations=(image,)))
    assert found == ([("policy-denied", "/executable/image/locations/0")] if refused else [])


def test_every_location_of_an_image_must_be_allowed():
    request = running(locations=("example.org/a", "docker.io/a"))
    found = reasons(one(denied_registries=("docker.io",)), request)
    assert found == [("policy-denied", "/executable/image/locations/1")]


def test_digests():
    pinned = one(digest_required=True)
    assert reasons(pinned, running()) == []
    assert reasons(pinned, running(digest=None)) == [("digest-required", "/executable/image/digest")]
    assert reasons(pinned, running(digest=None, locations=("example.org/a@sha256:" + "ab" * 32,))) == []


def test_ports_and_paths():
    policy = one(denied_ports=(1234,), denied_paths=("/badpath", "/admin*"))
    assert reasons(policy, running(ports=(Port(1234),))) == [
        ("policy-denied", "/executable/network/ports/0/internal/port")
    ]
    assert reasons(policy, running(ports=(Port(1235, "HTTP", "/good"),))) == []
    for path in ("/badpath", "badpath", "/badpath/", "//badpath", "/x/../badpath", "/bad%70ath", "/admin/x"):
        found = reasons(policy, running(ports=(Port(80), Port(81, "HTTP", path))))
        assert found == [("policy-denied", "/executable/network/ports/1/path")]


def test_notebooks_are_denied_by_their_url_and_need_no_digest():
    policy = one(
        denied_notebooks=("http://example.com/bad.ipynb",), digest_required=True, allowed_registries=("x",)
    )
    kind = ExecutableKind.NOTEBOOK
    for url in ("http://example.com/bad.ipynb", "HTTP://Example.com:80/bad.ipynb?a=b"):
        found = reasons(policy, running(kind=kind, digest=None, locations=(url,)))
        assert ("policy-denied", "/executable/location") in found
        assert "digest-required" not in dict(found)
    good = running(kind=kind, digest=None, locations=("http://example.com/good.ipynb",))
    assert "policy-denied" not in dict(reasons(policy, good))


@pytest.mark.parametrize(
    ("pattern", "url", "matches"),
    [
        ("example.com", "http://example.com/a", True),
        ("example.com", "http://example.com:8080/a", True),
        ("example.com:8080", "http://example.com:8080/a", True),
        ("example.com:80", "http://example.com/a", True),
        ("example.com:8080", "http://example.com/a", False),
        ("*.example.com", "http://a.example.com/", True),
        ("*.example.com", "http://evil.org/x.example.com", False),
        ("http://example.com/excluded.dat", "HTTP://EXAMPLE.com:80/excluded.dat", True),
        ("http://example.com/excluded.dat", "http://example.com./excluded.dat?x=1#y", True),
        ("http://example.com/excluded.dat", "http://example.com/a/../%65xcluded.dat", True),
        ("http://example.com/excluded.dat", "http://u:p@example.com//excluded.dat", True),
        ("http://example.com/excluded.dat", "http://example.com/included.dat", False),
        ("http://example.com/excluded.dat", "https://example.com/excluded.dat", False),
        ("https://*.example.org/*", "https://evil.com/x.example.org/y", False),
        ("https://s3.example.com", "https://s3.example.com/bucket/key", True),
        ("https://s3.example.com", "s3.example.com", True),
        ("https://s3.example.com", "https://s3.example.com.evil.org/", False),
        ("example.com/private/*", "http://example.com/public/../private/a", True),
        ("127.0.0.1:8080", "http://127.1:8080/a", True),
        ("http://127.0.0.1/private/*", "http://2130706433/private/a", True),
        ("127.0.0.1", "http://[::ffff:7f00:1]:8080/a", True),
        ("127.0.0.1", "http://127.1.example.com/a", False),
        ("*", "root://x//y", True),
        ("anything", "http://[broken", False),
    ],
)
def test_patterns_of_urls(pattern, url, matches):
    assert url_matches((pattern,), url) == matches


@given(st.text(max_size=40) | st.from_regex(r"[a-z]{1,5}://[a-z:@%./?\[\]0-9]{0,30}", fullmatch=True))
def test_whatever_is_written_as_a_location_is_compared_with_patterns(text):
    assert url_matches(("*",), text)
    assert registry(text) == registry(text).lower()
    assert location(text).paths


def test_a_denied_replica_is_not_used_where_another_serves():
    policy = one(denied_data=("data.perth.example",))
    offers = ask(policy, make_request(data=[make_data("perth", "penticton")]))
    (placement,) = offers.placements
    assert placement.staging.moves[0].source == "penticton"
    (note,) = [note for note in placement.notes if note.kind == "policy-denied"]
    assert note.level is Level.INFO
    assert "another replica is used" in note.text
    assert reasons(policy, make_request(data=[make_data("perth")])) == [("policy-denied", "/data/0")]


def test_data_that_is_not_allowed_is_denied():
    assert reasons(one(allowed_data=("*.perth.example",)), make_request(data=[make_data("perth")])) == []
    found = reasons(one(allowed_data=("*.perth.example",)), make_request(data=[make_data("penticton")]))
    assert found == [("policy-denied", "/data/0")]


def item(**words):
    return DataItem("d", "d", 1, (Replica("http://data.perth.example/d", "perth"),), **words)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"denied_endpoints": ("https://s3.bad.example",)}, {"endpoint": "https://S3.bad.example:443/"}),
        ({"denied_namespaces": ("private-*",)}, {"namespace": "private-one"}),
        ({"denied_ivoids": ("ivo://example.com/bad",)}, {"ivoid": "ivo://Example.com/Bad?part#x"}),
    ],
)
def test_what_the_resource_calls_itself(policy, words):
    request = replace(make_request(), data=(make_data("perth"), item(**words)))
    assert reasons(one(**policy), request) == [("policy-denied", "/data/1")]
    other = {name: "ivo://other/thing" if name == "ivoid" else "other" for name in words}
    assert reasons(one(**policy), replace(make_request(), data=(item(**other),))) == []


def test_a_policy_of_one_site_is_no_concern_of_the_others(federation):
    perth = replace(federation["perth"], policy=Policy(denied_ports=(1234,)))
    offers = ask(make_federation(perth, federation["lausanne"]), running(ports=(Port(1234),)))
    assert sites(offers) == ["lausanne"]
    assert [note.kind for note in offers.notes] == ["policy-denied"]


def test_limits_of_size_are_those_of_the_policy_too():
    site = make_site("perth", -31.95, 115.86, max_cores=4, max_memory_gib=8, max_storage_gib=10)
    federation = make_federation(site)
    request = make_request(cores=(5, None), memory=(9, None), data=[make_data("perth", size_bytes=9 * 2**30)])
    offers = ask(federation, request)
    assert [note.path for note in offers.notes[1:-1]] == ["/compute/cores/min", "/compute/memory/min"]
    (placement,) = ask(federation, applied(request, offers.ways[0].changes)).placements
    assert (placement.cores, placement.memory_gib, placement.storage_gib) == (4, 8, 9)
    big = make_request(data=[make_data("perth", size_bytes=11 * 2**30)])
    assert [note.path for note in ask(federation, big).notes[1:]] == ["/storage"]
    limit = Limit(price.TRANSFER_BYTES, maximum=0)
    assert ask(federation, make_request(data=[make_data("perth")], cost_limits=(limit,))).placements


@pytest.mark.parametrize(
    "changes",
    [
        {"executable": {"ports": (Port(1234),)}},
        {"executable": {"ports": (Port(5678),)}},
        {"executable": {"ports": (Port(80, "HTTP", "/badpath"),)}},
        {"executable": {"ports": (Port(80, "HTTP", "/alsobadpath"),)}},
        {"data": "http://example.com/excluded.dat"},
        {"data": "http://example.com/excluded.vot"},
        {"words": {"endpoint": "https://s3.excluded-one.example.com"}},
        {"words": {"endpoint": "https://s3.excluded-two.example.com"}},
        {"words": {"ivoid": "ivo://example.com/excluded"}},
        {"words": {"ivoid": "ivo://example.com/forbidden"}},
        {"words": {"namespace": "excluded-namespace-one"}},
        {"words": {"namespace": "excluded-namespace-two"}},
    ],
)
def test_the_built_in_sites_deny_what_clients_of_the_reference_expect(changes):
    built_in = load_federation(BUILT_IN)
    request = make_request()
    assert ask(built_in, request).placements
    request = replace(request, executable=replace(request.executable, **changes.get("executable", {})))
    url = changes.get("data", "http://data.perth.example/d")
    if "executable" not in changes:
        data = DataItem("d", "d", 1, (Replica(url, None),), **changes.get("words", {}))
        request = replace(request, data=(data,))
    offers = ask(built_in, request)
    assert not offers.placements
    assert {note.kind for note in offers.notes} == {"no-site", "policy-denied"}
    assert offers.notes[0].text.startswith("None of the 5 sites can do this; fewest reasons")


def test_the_built_in_sites_deny_the_notebooks():
    for site in load_federation(BUILT_IN):
        for which in ("one", "two"):
            assert url_matches(site.policy.denied_notebooks, f"http://example.com/excluded-{which}.ipynb")
