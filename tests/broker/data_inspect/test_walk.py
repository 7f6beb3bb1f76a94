"""Headers of FITS files that astropy made are what astropy says; hostile bytes end in a named error, soon."""

import io
import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from broker.inspect.cards import BLOCK_BYTES, values
from broker.inspect.describe import describe
from broker.inspect.walk import MOST_HDUS, MOST_HEADER_BYTES, NotFitsError, SourceError, walk

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")


class Bytes:
    """A file in memory; `most` bytes may be read of it."""

    def __init__(self, content, size_known=True, most=4 * 1024 * 1024):
        self.content, self.most = content, most
        self.size_bytes = len(content) if size_known else None
        self.reads, self.bytes = 0, 0

    def read(self, offset, length, last=None):
        assert length > 0
        self.reads += 1
        found = self.content[offset : offset + length]
        if last is not None:
            ends = range(BLOCK_BYTES, len(found) + 1, BLOCK_BYTES)
            found = found[: next((end for end in ends if last(found[end - BLOCK_BYTES : end])), len(found))]
        self.bytes += len(found)
        if self.bytes > self.most or self.reads > 5000:
            raise SourceError("too much")
        return found


def written(*hdus):
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer, output_verify="silentfix")
    return buffer.getvalue()


def described(content, **more):
    faults = []
    found = walk(Bytes(content, **more))
    return [describe(number, raw, faults) for number, raw in enumerate(found.hdus)], found.faults + faults


TYPES = ("uint8", "int16", "int32", "int64", "float32", "float64", "uint16", "uint32", "int8")
KEYS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=8).map(
    lambda text: "X" + text[:7]
)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150)
VALUES = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.complex_numbers(allow_nan=False, allow_infinity=False),
)
CARDS = st.dictionaries(KEYS | KEYS.map(lambda text: f"HIERARCH ESO {text}"), VALUES, max_size=12)
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def with_cards(hdu, cards):
    for keyword, value in cards.items():
        try:
            hdu.header[keyword] = value
        except ValueError:  # more than one card can hold
            continue
    return hdu


@st.composite
def images(draw, of=fits.ImageHDU):
    data = np.zeros(draw(SHAPES), dtype=draw(st.sampled_from(TYPES)))
    return with_cards(of(data if draw(st.booleans()) else None), draw(CARDS))


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 5))
    columns = [
        fits.Column(f"c{number}", draw(st.sampled_from(("J", "3E", "12A", "L", "D", "PJ()"))), unit="Jy")
        for number in range(draw(st.integers(1, 4)))
    ]
    return with_cards(fits.BinTableHDU.from_columns(columns, nrows=rows), draw(CARDS))


FILES = st.tuples(images(of=fits.PrimaryHDU), st.lists(images() | tables(), max_size=5))
FILES_SETTINGS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


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


LONGEST = MOST_HEADER_BYTES // 80 - 10


def image(cards, first=False, data=2_880_000):
    """An HDU with so many cards; hardly a piece reaches over so much data."""
    kind = ("SIMPLE  = T",) if first else ("XTENSION= 'IMAGE   '",)
    axes = ("BITPIX  = 8", "NAXIS   = 1", f"NAXIS1  = {data}", "PCOUNT  = 0", "GCOUNT  = 1")
    return header(*kind, *axes, *["HISTORY of it"] * (cards - len(axes) - 2)) + bytes(data)


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


# --- hostile ---------------------------------------------------------------------------------------------


def header(*cards):
    text = "".join(card.ljust(80)[:80] for card in (*cards, "END"))
    return text.ljust(-(-len(text) // BLOCK_BYTES) * BLOCK_BYTES).encode("latin-1")


def simple(*cards, bitpix="8", axes=()):
    lengths = [f"NAXIS{number} = {length}" for number, length in enumerate(axes, 1)]
    names = [f"{'SIMPLE':8}= T", f"{'BITPIX':8}= {bitpix}", f"{'NAXIS':8}= {len(axes)}"]
    return header(*names, *(f"{line.split(' = ')[0]:8}= {line.split(' = ')[1]}" for line in lengths), *cards)


REFUSED = [
    (b"", "the file is empty"),
    (b"\x1f\x8b\x08\x00" + bytes(5000), "packed with gzip"),
    (b"BZh91AY&SY" + bytes(5000), "packed with bzip2"),
    (b"PK\x03\x04" + bytes(5000), "packed with zip"),
    (b"<!DOCTYPE html><html>", "a page"),
    (b"hello", "expected SIMPLE"),
    (b"SIMPLE  =                    T", "the file ends in a header"),
    (simple()[: BLOCK_BYTES - 80].replace(b"END", b"   "), "the file ends in a header"),
    (simple().replace(b"END", b"   ") * 1000, f"no END within {MOST_HEADER_BYTES}"),
    (simple(bitpix="7"), "BITPIX is 7"),
    (simple(bitpix="'8'"), "BITPIX is '8': expected a whole number"),
    (simple(bitpix="8.0"), "expected a whole number"),
    (simple(bitpix="T"), "expected a whole number"),
    (simple(axes=(-5,)), "NAXIS1 is -5: expected 0 to"),
    (simple(axes=(2**50, 2**50)), "more bytes than any file can have"),
    (simple(axes=(10**69,) * 900), "NAXIS1 is 1000"),
    (simple("PCOUNT  = -1", axes=(5,)), "PCOUNT is -1"),
    (simple("GCOUNT  = 9007199254740992", axes=(5,)), "more bytes than any file can have"),
    (header("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 999"), "NAXIS1 is missing"),
    (header("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 1000"), "NAXIS is 1000: expected 0 to 999"),
    (header("SIMPLE  = T"), "BITPIX is missing"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_refused(content, words):
    source = Bytes(content)
    with pytest.raises(NotFitsError, match=words):
        walk(source)
    assert source.bytes <= 2 * MOST_HEADER_BYTES
    assert source.reads < 12


def test_a_packed_file_is_known_by_its_first_bytes():
    source = Bytes(b"\x1f\x8b" + bytes(10_000_000))
    with pytest.raises(NotFitsError):
        walk(source)
    assert (source.reads, source.bytes) == (1, 8 * BLOCK_BYTES)


EXTENSION = header("XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 0", "GCOUNT  = 1")


@pytest.mark.parametrize(
    ("content", "hdus", "words"),
    [
        (simple(axes=(10_000,)) + bytes(100), 1, "truncated: HDU 0 ends at byte 12880"),
        (simple() + EXTENSION[:300], 1, "the file ends in a header, at byte 3180"),
        (simple() + b"garbage" * 1000, 1, "at byte 2880, what follows the last HDU is no HDU"),
        (simple() + EXTENSION.replace(b"= 8", b"= 9"), 1, "HDU 1, at byte 2880: BITPIX is 9"),
        (simple() + EXTENSION * (MOST_HDUS + 10), MOST_HDUS, f"more than {MOST_HDUS} HDUs"),
    ],
)
def test_what_was_read_before_a_fault_is_told(content, hdus, words):
    found = walk(Bytes(content))
    assert len(found.hdus) == hdus
    assert len(found.faults) == 1
    assert words in found.faults[0]


@pytest.mark.parametrize("rest", [b"", bytes(2880), b" " * 5000, bytes(7)])
def test_what_only_fills_up_is_no_fault(rest):
    found = walk(Bytes(simple() + EXTENSION + rest))
    assert (len(found.hdus), found.faults, found.whole) == (2, [], True)


def test_an_end_of_data_that_fills_no_block_is_no_fault():
    found = walk(Bytes(simple(axes=(100,)) + bytes(100)))
    assert (found.faults, found.whole) == ([], True)


def test_nothing_that_moves_a_terminal_comes_out_of_a_header():
    content = header(
        "SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTNAME = 'a\x1b[31m\x9b\u00e9\n'", "OBJECT  = 'x\0'"
    )
    (hdu,), _ = described(content)
    assert hdu.name == "a?[31m???"
    assert all(32 <= ord(letter) <= 126 for card in hdu.header for letter in card)


def test_numbers_that_no_document_can_hold_are_none():
    assert values(header("A       = 1E999999", "B       = (1E999, 0)")) == {"A": None, "B": None}


def test_a_text_over_thousands_of_cards():
    cards = ["LONG    = '&'", *["CONTINUE  '" + "x" * 60 + "&'"] * 12_000, "CONTINUE  'end'", "B       = 1"]
    found = values(header(*cards))
    assert len(found["LONG"]) == 60 * 12_000 + 3
    assert found["B"] == 1


CARD = st.one_of(
    st.binary(min_size=80, max_size=80),
    st.tuples(
        st.sampled_from(("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT"))
        | st.sampled_from(("GROUPS", "ZIMAGE", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "TFIELDS", "BSCALE", "BZERO"))
        | st.sampled_from(("BLANK", "CONTINUE")),
        st.sampled_from(("T", "F", "8", "-32", "0", "1", "2", "-1", "999", "9" * 69, "1E5", "'IMAGE'", "'"))
        | st.sampled_from(("'BINTABLE'", "'TABLE'", "'x&'", "(1,2)", "")),
    ).map(lambda pair: f"{pair[0]:8}= {pair[1]:70}".encode()),
    st.just(b"END".ljust(80)),
)


@settings(FILES_SETTINGS, max_examples=300)
@given(st.lists(CARD, max_size=120), st.integers(0, 79), st.booleans())
@example([b"SIMPLE  = T".ljust(80), b"END".ljust(80)], 0, True)
def test_hostile_bytes(cards, cut, size_known):
    content = b"".join(cards)
    content = b"SIMPLE  =                    T".ljust(80) + content[: max(0, len(content) - cut)]
    content = content.ljust(-(-len(content) // BLOCK_BYTES) * BLOCK_BYTES)
    source = Bytes(content, size_known)
    faults = []
    try:
        found = walk(source)
    except NotFitsError:
        return
    for number, raw in enumerate(found.hdus):
        hdu = describe(number, raw, faults)
        assert 0 <= hdu.memory_bytes < 2**56
        assert math.prod(hdu.shape) >= 0
    assert source.bytes <= 4 * len(content)


@settings(FILES_SETTINGS, max_examples=60)
@given(FILES, st.integers(0, 2**32), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=30))
def test_a_damaged_file(parts, length, damage):
    content = bytearray(written(parts[0], *parts[1]))
    for place, byte in damage:
        content[int(place * (len(content) - 1))] = byte
    content = bytes(content[: length % (len(content) + 1)])
    try:
        found = walk(Bytes(content))
    except NotFitsError:
        return
    assert found.whole or found.faults
    for number, raw in enumerate(found.hdus):
        describe(number, raw, [])
