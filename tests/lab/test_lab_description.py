"""The lab's description: the default one is whole, and a wrong one is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.errors import InputError
from lab import description

SMALL = Path(__file__).with_name("small.toml").read_text()


def test_the_default_lab_has_the_promised_paths() -> None:
    lab = description.load()
    assert list(lab.sites) == ["perth", "capetown", "manchester", "lausanne", "penticton"]
    assert len(lab.paths) == 20
    pairs = [(path.source, path.destination) for path in lab.paths]
    for source, destination in pairs:
        assert 0.020 <= lab.round_trip_seconds(source, destination) <= 0.240
        assert 15e6 <= lab.path(source, destination).bits_per_second <= 400e6
    assert lab.round_trip_seconds("capetown", "manchester") == pytest.approx(0.150)
    assert lab.path("capetown", "manchester").loss == pytest.approx(1e-4)
    assert (
        lab.path("penticton", "lausanne").bits_per_second
        < lab.path("lausanne", "penticton").bits_per_second / 10
    )


def test_the_default_files_lie_at_two_or_three_sites_each() -> None:
    files = description.load().files
    assert min(file.size_bytes for file in files) == 1_000_000
    assert max(file.size_bytes for file in files) == 200_000_000
    assert all(2 <= len(set(file.sites)) <= 3 for file in files)
    assert any(file.name.endswith(".fits") for file in files)


def test_a_queue_in_bytes_is_the_time_in_which_the_path_sends_it(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(
        SMALL.replace('rate = "40 Mbit/s", queue = "60 ms"', 'rate = "40 Mbit/s", queue = "500 kB"')
    )
    assert description.load(file).path("beta", "alpha").queue_seconds == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("mtu = 9000", "mtu = 100", r"\[mtu\]: expected the largest packet in bytes, 1280 to 9000, got 100"),
        ("number = 2", "number = 1", r"\[sites\.beta\.number\]: expected a number from 1 to 250"),
        ("number = 2", 'number = "2"', r"\[sites\.beta\.number\]: expected a number"),
        ("[sites.beta]", "[sites.be-ta]", r"\[sites\.be-ta\]: expected letters and digits"),
        (
            'rses = ["BETA-DISK"]',
            "rses = [7]",
            r"beta\.rses\]: expected a list of strings, got \[7\]",
        ),
        ('delay = "10 ms"', 'delay = "quick"', r"\.alpha\.beta\.delay\]: expected .* got .quick"),
        ('delay = "10 ms"', 'dealy = "10 ms"', r"\.alpha\.beta\.delay\]: expected a time"),
        (
            'delay = "10 ms",',
            'delay = "10 ms", dup = "1 %",',
            r"\.alpha\.beta\.dup\]: expected no such",
        ),
        (
            'delay = "10 ms",',
            'delay = "10 ms", loss = "200 %",',
            r"\.alpha\.beta\.loss\]: expected a loss",
        ),
        (
            'jitter = "0.2 ms"',
            'jitter = "40 ms"',
            r"\.beta\.alpha\.jitter\]: expected at most the delay",
        ),
        (
            'rate = "40 Mbit/s"',
            'rate = "0 bit/s"',
            r"\.beta\.alpha\.rate\]: expected more than nothing",
        ),
        ("[paths.beta]\nalpha", "[paths.beta]\ngamma", r"\[paths\.beta\.gamma\]: expected two .*sites"),
        ("[paths.beta]\nalpha", "[paths.alpha2]\nbeta", r"\[paths\.alpha2\.beta\]: expected two .*sites"),
        ('sites = ["beta"]', 'sites = ["gamma"]', r"\[files\.1\.sites\]: expected sites of this lab"),
        ('name = "table.dat"', 'name = "../table.dat"', r"\[files\.1\.name\]: expected a plain file name"),
        ('size = "2 MB"', 'size = "2 kB"', r"\[files\.1\.size\]: expected at least 5760 bytes"),
        ("mtu = 9000", "mtu = ", r"lab\.toml: not TOML"),
    ],
)
def test_a_wrong_description_says_where_and_what_was_expected(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in SMALL
    file = tmp_path / "lab.toml"
    file.write_text(SMALL.replace(old, new, 1))
    with pytest.raises(InputError, match=complaint) as caught:
        description.load(file)
    assert "\n" not in str(caught.value)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    before, _, after = SMALL.partition("[paths.beta]")
    file.write_text(before + after[after.index("[[files]]") :])
    with pytest.raises(InputError, match=r"\[paths\.beta\.alpha\] is missing"):
        description.load(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        description.load(tmp_path / "none.toml")
