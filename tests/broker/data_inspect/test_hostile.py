"""Hostile and damaged bytes end in a named error, soon, and what was read before is told."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.inspect.cards import BLOCK_BYTES, values
from broker.inspect.describe import describe
from broker.inspect.walk import MOST_HDUS, MOST_HEADER_BYTES, NotFitsError, walk
from tests.broker.data_inspect.files import (
    EXTENSION,
    FILES,
    FILES_SETTINGS,
    Bytes,
    described,
    header,
    simple,
    written,
)

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")


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
