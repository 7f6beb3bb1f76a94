"""The files of the lab: the same everywhere, FITS where they say so, repaired when somebody spoils them."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from lab import description, storage
from lab.description import File, Lab

SMALL = Path(__file__).with_name("small.toml")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return description.load(SMALL)


def bring(lab: Lab) -> dict[str, storage.Made]:
    made = storage.make_all(lab, threading.Event())
    storage.place(lab, made)
    return {one.name: one for one in made}


def test_the_bytes_are_the_same_on_every_machine() -> None:
    content = b"".join(storage.content(File("table.dat", 2_500_000, ("beta",))))
    assert len(content) == 2_500_000
    expected = "".join(f"{number}" for number in range(3))
    blocks = [hashlib.shake_256(f"table.dat:{number}".encode()).digest(1 << 20) for number in expected]
    assert content == b"".join(blocks)[:2_500_000]
    # what the published examples rely on
    small = b"".join(storage.content(File("table.dat", 6000, ("beta",))))
    assert hashlib.sha256(small).hexdigest() == SHA256_OF_SMALL


SHA256_OF_SMALL = "29fa8adf8bf31ce25f1b92393161571f1a86a8c817a712dc4027523c55e85bee"


def test_a_fits_file_is_whole_blocks_with_a_readable_header() -> None:
    content = b"".join(storage.content(File("sky.fits", 1_000_000, ("beta",))))
    assert len(content) % 2880 == 0
    assert 1_000_000 - 2880 < len(content) <= 1_000_000
    header = content[:2880].decode("ascii")
    lines = [header[start : start + 80] for start in range(0, 2880, 80)]
    cards = {line[:8].strip(): line[10:].split("/")[0].strip() for line in lines}
    assert cards["SIMPLE"] == "T"
    assert "END" in cards
    pixels = int(cards["NAXIS1"]) * int(cards["NAXIS2"])
    assert pixels * int(cards["BITPIX"]) // 8 == len(content) - 2880
    # the value of a logical or an integer ends in column 30
    assert header[29] == "T"
    assert header[80 + 29] == "6"


def test_sites_get_their_files_and_the_checksums_are_true(lab: Lab) -> None:
    made = bring(lab)
    assert sorted(file.name for file in storage.data_dir("alpha").iterdir()) == ["sky.fits"]
    assert sorted(file.name for file in storage.data_dir("beta").iterdir()) == ["sky.fits", "table.dat"]
    for file in storage.data_dir("beta").iterdir():
        content = file.read_bytes()
        assert hashlib.sha256(content).hexdigest() == made[file.name].sha256
        assert len(content) == made[file.name].size_bytes
    assert storage.staging_dir("alpha").is_dir()


def test_files_are_made_once(lab: Lab) -> None:
    first = bring(lab)
    again = bring(lab)
    assert first == again


def test_spoilt_and_missing_files_are_put_right(lab: Lab) -> None:
    made = bring(lab)
    spoilt = storage.data_dir("beta") / "table.dat"
    spoilt.chmod(0o644)
    spoilt.write_bytes(b"spoilt")
    (storage.data_dir("alpha") / "sky.fits").unlink()
    bring(lab)
    assert hashlib.sha256(spoilt.read_bytes()).hexdigest() == made["table.dat"].sha256
    assert (storage.data_dir("alpha") / "sky.fits").exists()


def test_a_replaced_file_leaves_the_other_sites_alone(lab: Lab) -> None:
    made = bring(lab)
    replaced = storage.data_dir("alpha") / "sky.fits"
    replaced.unlink()
    replaced.write_bytes(b"other")
    other = storage.data_dir("beta") / "sky.fits"
    assert hashlib.sha256(other.read_bytes()).hexdigest() == made["sky.fits"].sha256


def test_making_can_be_called_off_and_leaves_no_half_file(lab: Lab, tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(storage.CancelledError):
        storage.make_all(lab, cancelled)
    assert list((tmp_path / "cache").rglob("*.fits*")) == []
