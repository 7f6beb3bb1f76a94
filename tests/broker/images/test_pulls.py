"""What bringing an image takes, and how its names are read: no registry, no podman."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.images import Image, Layer
from broker.images.references import Reference, is_reference, parse, pinned, qualified
from broker.images.registries import Registries, read_registries
from broker.offers.images import Pull, pull_note, pull_of
from federation.errors import InputError
from federation.sites import Federation, Place, Site
from tests.broker.conftest import make_site
from tests.broker.images.real import registries_file
from tests.broker.offering import forecast
from tests.contracts.platform_support import make_platform

DIGEST = "sha256:" + "ab" * 32


def image_of(*sizes: int) -> Image:
    layers = tuple(Layer(f"sha256:{n:064}", size, f"diff-{n}") for n, size in enumerate(sizes))
    return Image("docker.io/a/b:1", "docker.io", DIGEST, frozenset(), "amd64", "linux", layers, 2_000)


def pull(image: Image, there: set[str], rate: float | None = None, registries: tuple[str, ...] = ()) -> Pull:
    lausanne, perth = make_site("lausanne", 0, 0), replace(make_site("perth", 0, 0), registries=registries)
    federation = Federation("test", {"lausanne": lausanne, "perth": perth})
    return pull_of(image, there, federation, lausanne, forecast, rate)


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=20), st.data())
def test_what_is_there_already_is_not_moved_again(sizes: list[int], data: st.DataObject) -> None:
    image = image_of(*sizes)
    names = [str(layer.diff_id) for layer in image.layers]
    some = data.draw(st.sets(st.sampled_from(names)))
    more = some | data.draw(st.sets(st.sampled_from(names)))
    less, whole = pull(image, more), pull(image, some)
    assert less.move.size_bytes <= whole.move.size_bytes <= image.size_bytes
    for each in (less, whole):
        assert each.there_bytes + each.move.size_bytes == image.size_bytes
    nothing = pull(image, set(names))
    assert nothing.move.size_bytes == image.config_bytes
    assert nothing.seconds.p90 <= less.seconds.p90


def test_a_registry_of_the_federation_is_reached_over_its_measured_path() -> None:
    image = image_of(400_000_000)
    known, unknown = pull(image, set(), registries=("docker.io",)), pull(image, set())
    assert (known.move.source, unknown.move.source) == ("perth", None)
    assert "measured by 6 iperf3 tests" in pull_note(known).text
    # nothing is known of the way from outside, unless the operator knows it
    text = pull_note(unknown).text
    assert "from docker.io (outside the federation); from outside the federation, nothing measured" in text
    told = pull(image, set(), rate=200e6)
    assert told.seconds.p90 < unknown.seconds.p90 / 5
    assert told.seconds.p50 == pytest.approx(400e6 * 8 / 200e6 + 400e6 / 50e6, rel=0.2)
    assert pull_note(told).text.endswith("(outside the federation); 200 Mbit/s by the site's operator")


def test_a_layer_that_comes_twice_is_moved_once() -> None:
    image = image_of(1_000_000)
    assert replace(image, layers=image.layers * 3).size_bytes == image.size_bytes == 1_002_000


def test_a_rate_that_is_none_ends_at_start_up(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"site 'here': option 'outside_rate': .*fast"):
        make_platform("podman", tmp_path, {"outside_rate": "fast"})


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("busybox", Reference("docker.io", "library/busybox", "latest")),
        ("index.docker.io/a/b:2", Reference("docker.io", "a/b", "2")),
        ("r.example:5000/a/b/c", Reference("r.example:5000", "a/b/c", "latest")),
        (f"r.example/a@{DIGEST}", Reference("r.example", "a", None, DIGEST)),
        (f"r.example/a:1@{DIGEST}", Reference("r.example", "a", "1", DIGEST)),
    ],
)
def test_a_name_is_taken_apart(location: str, expected: Reference) -> None:
    assert parse(location) == expected
    assert pinned(location, DIGEST) == f"{expected.name}@{DIGEST}"
    assert is_reference(qualified(location))


def test_docker_s_own_registry_is_asked_at_its_own_host() -> None:
    assert (parse("busybox").host, parse("quay.io/a/b").host) == ("registry-1.docker.io", "quay.io")


# registries.conf


def registries(directory: Path, text: str) -> Registries:
    return read_registries(registries_file(directory, text=text))


def asked(found: Registries, location: str) -> list[str]:
    return [place.name for place, _ in found.places(parse(location))]


def test_the_longest_prefix_counts_and_ends_at_a_slash(tmp_path: Path) -> None:
    text = """
[[registry]]
prefix = "r.example/team"
location = "mirror.example/copies"
[[registry]]
location = "r.example"
[[registry]]
prefix = "*.sub.example"
insecure = true
"""
    found = registries(tmp_path, text)
    assert asked(found, "r.example/team/tool:1") == ["mirror.example/copies/tool"]
    assert asked(found, "r.example/teams/tool:1") == ["r.example/teams/tool"]
    assert found.places(parse("a.sub.example/x:1")) == [(parse("a.sub.example/x:1"), True)]
    assert found.places(parse("sub.example/x:1")) == [(parse("sub.example/x:1"), False)]
    assert set(found.hosts()) == {"mirror.example", "r.example"}


def test_mirrors_that_take_digests_or_tags_alone(tmp_path: Path) -> None:
    text = """
[[registry]]
location = "r.example"
[[registry.mirror]]
location = "digests.example"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tags.example"
pull-from-mirror = "tag-only"
"""
    found = registries(tmp_path, text)
    assert asked(found, "r.example/x:1") == ["tags.example/x", "r.example/x"]
    assert asked(found, f"r.example/x@{DIGEST}") == ["digests.example/x", "r.example/x"]


def test_the_machine_s_own_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".config/containers"
    (home / "registries.conf.d").mkdir(parents=True)
    registries_file(home, "r.example")
    (home / "registries.conf.d/10.conf").write_text('[[registry]]\nlocation = "r.example"\nblocked = true\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    found = read_registries(None)
    assert found.file is None
    table = found.find(parse("r.example/x"))
    assert table is not None
    assert table.blocked


def test_a_registry_stands_where_its_site_says() -> None:
    site = Site(
        "perth",
        "Perth",
        Place(0, 0),
        data_hosts=("data.perth.example",),
        registries=("*.perth.example:5000",),
    )
    federation = Federation("test", {"perth": site})
    for name in ("images.perth.example:5000", "data.perth.example"):
        assert federation.site_of_registry(name) is site
    assert federation.site_of_registry("images.perth.example") is None
