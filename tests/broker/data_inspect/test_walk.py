"""Headers of FITS files that astropy made are what astropy says, and take as few reads as can be."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.inspect.cards import BLOCK_BYTES, values
from broker.inspect.describe import describe
from broker.inspect.walk import walk
from tests.broker.data_inspect.files import (
    FILES,
    FILES_SETTINGS,
    LONGEST,
    Bytes,
    described,
    image,
    with_cards,
    written,
)

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")


@settings(FILES_SETTINGS, max_examples=80)
@given(FILES, st.booleans())
def test_what_astropy_writes_is_what_astropy_says(parts, size_known):
    first, others = parts
    content = written(first, *others)
    source = Bytes(content, size_known)
    walked = walk(source)
    assert walked.whole
    assert not walked.faults
    # one for each at most, and one more that finds the end where nobody said where it is
    assert source.reads <= len(walked.hdus) + 1
    with fits.open(io.BytesIO(content), lazy_load_hdus=False) as theirs:
        assert len(theirs) == len(walked.hdus)
        for number, (hdu, raw) in enumerate(zip(theirs, walked.hdus, strict=True)):
            where = hdu.fileinfo()
            assert (raw.offset, raw.data_offset) == (where["hdrLoc"], where["datLoc"])
            ours = describe(number, raw, walked.faults)
            if isinstance(hdu, fits.BinTableHDU):
                assert ours.kind == "table"
                assert ours.shape == (len(hdu.data),)
                assert [column.name for column in ours.columns] == hdu.columns.names
                assert [column.format for column in ours.columns] == [c.format for c in hdu.columns]
            else:
                assert ours.shape == hdu.shape
                if hdu.data is not None:
                    assert (ours.kind, ours.data_type) == ("image", hdu.data.dtype.name)
                    assert ours.memory_bytes == hdu.data.nbytes
            read = values(raw.header)
            for card in hdu.header.cards:
                if card.keyword and card.keyword not in ("COMMENT", "HISTORY"):
                    check(read[card.keyword], card.value)
    assert not walked.faults


def check(ours, theirs):
    if isinstance(theirs, fits.card.Undefined):
        assert ours is None
    elif isinstance(theirs, float | complex):
        assert ours == pytest.approx(theirs, rel=1e-14)
    else:
        assert (type(ours), ours) == (type(theirs), theirs)


SCALED = [
    ({"BSCALE": 2.0}, "int16"),
    ({"BSCALE": 2.0}, "int32"),
    ({"BZERO": 10}, "uint8"),
    ({"BLANK": -1}, "int16"),
    ({"BLANK": -1}, "int64"),
    ({"BZERO": 32768}, "int16"),
    ({"BSCALE": 2.0}, "float32"),
]


@pytest.mark.parametrize(("cards", "data_type"), SCALED)
def test_scaled_numbers_take_what_they_take_in_memory(cards, data_type):
    hdu = fits.PrimaryHDU(np.ones((4, 5), data_type))
    content = bytearray(written(hdu))
    end = content.index(b"END" + b" " * 77)
    text = "".join(str(fits.Card(*card)) for card in cards.items()).encode()
    content[end : end + len(text) + 3] = text + b"END"
    (ours,), faults = described(bytes(content))
    with fits.open(io.BytesIO(content)) as theirs:
        data = theirs[0].data
        assert (ours.data_type, ours.memory_bytes) == (data.dtype.name, data.nbytes)
    assert not faults


@pytest.mark.parametrize("data_type", ["float32", "int16"])
def test_a_compressed_image_is_as_large_as_what_is_in_it(data_type):
    image = np.arange(300 * 200).reshape(300, 200).astype(data_type)
    content = written(fits.PrimaryHDU(), fits.CompImageHDU(image, name="SCI"))
    (_, ours), faults = described(content)
    assert (ours.kind, ours.name, ours.shape) == ("compressed image", "SCI", (300, 200))
    assert (ours.data_type, ours.memory_bytes) == (data_type, image.nbytes)
    assert ours.data_bytes < image.nbytes
    assert not faults


def test_random_groups(tmp_path):
    groups = fits.GroupData(
        np.zeros((7, 1, 2, 3), "f4"), bitpix=-32, parnames=["u", "v"], pardata=[np.zeros(7)] * 2
    )
    # astropy writes these to files alone
    fits.HDUList([fits.GroupsHDU(groups), fits.ImageHDU(np.ones(3))]).writeto(tmp_path / "groups.fits")
    content = (tmp_path / "groups.fits").read_bytes()
    (first, second), faults = described(content)
    assert (first.kind, first.data_bytes) == ("random groups", 7 * (2 + 6) * 4)
    assert second.shape == (3,)
    assert not faults


def test_a_table_of_arrays_has_a_heap():
    arrays = np.array([np.ones(n) for n in (3, 500, 7)], dtype=object)
    content = written(
        fits.PrimaryHDU(),
        fits.BinTableHDU.from_columns([fits.Column("v", "PD()", array=arrays)]),
        fits.ImageHDU(np.ones(2), name="AFTER"),
    )
    hdus, faults = described(content)
    assert [hdu.name for hdu in hdus] == [None, None, "AFTER"]
    assert hdus[1].memory_bytes == 3 * 8 + 510 * 8
    assert not faults


def test_a_long_header_costs_one_read_more():
    primary = fits.PrimaryHDU()
    for number in range(500):
        primary.header.add_history(f"step {number}")
    extensions = [
        with_cards(fits.ImageHDU(np.zeros(9000)), {f"X{n}": n for n in range(200)}) for _ in range(8)
    ]
    content = written(primary, *extensions)
    source = Bytes(content)
    found = walk(source)
    assert len(found.hdus) == 9
    assert source.reads <= len(found.hdus) + 1


@pytest.mark.parametrize("cards", [300, 1729, 5000, LONGEST])
def test_a_first_header_of_any_length_costs_one_read_more(cards):
    source = Bytes(image(cards, first=True) + image(20) * 3)
    found = walk(source)
    assert (len(found.hdus), found.faults, source.reads) == (4, [], 5)
    # that of the first, what was guessed of the second by it, and small pieces
    assert source.bytes <= 2 * len(found.hdus[0].header) + 8 * BLOCK_BYTES * 3


@pytest.mark.parametrize(
    ("cards", "more"),
    [
        ([20, 5000, 5000, 5000], 1),
        ([5000, 5000, 5000, 5000], 1),
        ([9000, 20, 20, 5000, 20, 4000], 2),
        # each one longer than all before: by as much again, or twice as long
        ([20, 500, 700, 900, 1100, 1300, 1500], 2),
        ([20, 200, 400, 800, 1600, 3200, 6400], 2),
        # more than twice as long each time
        ([20, 300, 900, 3000, 9100], 4),
    ],
)
def test_a_later_header_that_is_much_longer_than_all_before_costs_one_more_each(cards, more):
    source = Bytes(b"".join(image(number, first=not at) for at, number in enumerate(cards)), most=2**24)
    found = walk(source)
    assert (len(found.hdus), found.faults) == (len(cards), [])
    assert source.reads - len(found.hdus) <= more


@settings(FILES_SETTINGS, max_examples=60)
@given(st.lists(st.integers(8, 2500), min_size=1, max_size=6))
def test_none_but_the_first_and_each_longer_one_takes_a_second_read(cards):
    source = Bytes(b"".join(image(number, not at, 28_800) for at, number in enumerate(cards)), most=2**25)
    found = walk(source)
    assert (len(found.hdus), found.faults) == (len(cards), [])
    longer = sum(number > max(cards[1:at], default=cards[0]) for at, number in enumerate(cards) if at)
    assert source.reads <= len(cards) + 1 + longer
