"""DataLink documents in binary, and data that are several files."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io.votable import parse
from astropy.io.votable.tree import VOTableFile

from broker.catalogues import CatalogueError
from broker.catalogues.ivoa import IvoaCatalogue
from broker.catalogues.ivoa_datalink import the_data
from broker.catalogues.ivoa_votable import VotableError, rows
from federation.sites import Federation
from tests.catalogues.serving import error, federation, staged
from tests.catalogues.test_ivoa import DID, document, found, link, look
from tests.catalogues.vo_service import COLUMNS, Centre, data_centre, votable

pytestmark = pytest.mark.filterwarnings("ignore::astropy.io.votable.exceptions.VOWarning")


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with data_centre() as centre:
        yield centre


@pytest.fixture
def centre(running: Centre) -> Centre:
    running.links.clear()
    return running


def as_binary(text: str, how: str) -> str:
    """The same document as astropy writes it in that serialisation."""
    tree: VOTableFile = parse(io.BytesIO(text.encode()), verify="ignore")
    tree.get_first_table().format = how
    written = io.BytesIO()
    tree.to_xml(written)
    return written.getvalue().decode()


def table(*links: dict[str, str]) -> str:
    return votable(COLUMNS, [[each.get(name, "") for name in COLUMNS] for each in links])


# rows that are no text


def test_rows_in_binary_say_what_they_say_as_text(centre: Centre) -> None:
    text = table(link(centre, semantics="#preview"), link(centre, content_type="application/fits"))
    binary, binary2 = as_binary(text, "binary"), as_binary(text, "binary2")
    assert "TABLEDATA" not in binary + binary2
    assert rows(binary, "it", 60) == rows(text, "it")
    centre.links["a"] = binary2
    expected = f"{centre.url}/data/a", 77, DID
    assert found(look(federation(), obscore=document(f"{centre.url}/links/a"))) == expected


def test_what_is_no_such_stream_is_said() -> None:
    stream = '<BINARY2><STREAM encoding="base64">AAAA</STREAM></BINARY2>'
    broken = votable(COLUMNS, []).replace("<TABLEDATA></TABLEDATA>", stream)
    # a column as long as no memory is
    large = broken.replace('arraysize="*"', 'arraysize="99999999999"')
    with pytest.raises(VotableError, match="it: its rows are BINARY2: they can't be read: "):
        rows(large, "it", 60)


def test_what_takes_too_long_is_left() -> None:
    binary = as_binary(table({"ID": DID, "content_length": "1"}), "binary")
    begun = time.monotonic()
    with pytest.raises(VotableError, match=r"not done within 0\.05 s"):
        rows(binary, "it", 0.05)
    assert time.monotonic() - begun < 30


def test_without_astropy_it_is_said_what_the_operator_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    binary = as_binary(table({"ID": DID, "content_length": "1"}), "binary")
    monkeypatch.setattr("broker.catalogues.ivoa_binary.find_spec", lambda name: None)
    with pytest.raises(VotableError, match=r"would install fairlead\[fits\]"):
        rows(binary, "it")


# data that are several files


def several(centre: Centre, *types: str) -> None:
    centre.links["a"] = [
        link(centre, access_url=f"{centre.url}/data/{name}.fits", content_type=kind)
        for name, kind in zip("abc", types, strict=False)
    ]


def test_several_files_are_an_item_of_all_of_them_and_brought_as_a_folder(
    centre: Centre, tmp_path: Path
) -> None:
    several(centre, "application/fits", "application/fits", "application/x-hdf5")
    around = federation()
    resolved = look(around, obscore=document(f"{centre.url}/links/a"))
    item = resolved.item
    assert item is not None
    assert resolved.notes == ()
    assert (item.files, item.size_bytes, item.unpacked, item.ivoid) == (3, 231, True, DID)
    assert [part.size_bytes for part in item.parts] == [77] * 3
    path, _ = staged(around, tmp_path / "site", replace(item, kind="ivoa-data-resource"))
    assert {each.name: each.stat().st_size for each in path.iterdir()} == dict.fromkeys(
        ("a.fits", "b.fits", "c.fits"), 77
    )


def test_the_content_type_of_the_request_s_row_chooses(centre: Centre) -> None:
    several(centre, "application/fits", "application/fits; convention=x", "application/x-hdf5")
    at = document(f"{centre.url}/links/a")

    def wanted(kind: str) -> tuple[int, str]:
        item = look(federation(), obscore=at, datalink={"content_type": kind}).item
        assert item is not None
        return item.files, item.replicas[0].url

    assert wanted("application/x-hdf5") == (1, f"{centre.url}/data/c.fits")
    assert wanted("Application/FITS") == (2, f"{centre.url}/data/a.fits")
    assert wanted("application/fits;convention=x") == (1, f"{centre.url}/data/b.fits")
    kind, text = error(look(federation(), obscore=at, datalink={"content_type": "image/png"}))
    assert kind == "data-not-found"
    assert "and application/x-hdf5, not as image/png" in text


def test_sizes_that_the_document_leaves_out_are_asked_for(centre: Centre) -> None:
    centre.links["a"] = [
        link(centre, access_url=f"{centre.url}/data/{name}", content_length="") for name in "ab"
    ]
    item = look(federation(), obscore=document(f"{centre.url}/links/a")).item
    assert item is not None
    assert item.size_bytes == 154
    centre.links["a"] = [*centre.links["a"], link(centre, access_url=f"{centre.url}/gone", content_length="")]
    kind, text = error(look(federation(), obscore=document(f"{centre.url}/links/a")))
    assert kind == "data-not-found"
    assert "404" in text


def test_files_of_the_same_name_get_different_ones(centre: Centre) -> None:
    urls = [f"{centre.url}/data/{end}" for end in ("x.fits", "x.fits?b", "%2e%2e", "")]
    centre.links["a"] = [link(centre, access_url=url) for url in urls]
    around: Federation = federation()
    item = look(around, obscore=document(f"{centre.url}/links/a")).item
    assert item is not None
    site = next(iter(around))
    names = [file.path for file in IvoaCatalogue(around, True).files(item, site, 60.0)]
    assert names[:2] == ["1-x.fits", "2-x.fits"]
    assert len(set(names)) == 4
    assert not any(name.startswith(".") or "/" in name for name in names)


def test_the_links_of_a_document_come_in_its_order() -> None:
    text = table(*({"ID": DID, "semantics": "#this", "access_url": f"https://a.example/{n}"} for n in "cab"))
    assert [each.url[-1] for each in the_data(text, DID, "it")] == ["c", "a", "b"]
    with pytest.raises(CatalogueError, match="the access_url in it"):
        the_data(text.replace("https://a.example/b", "ftp://a.example/b"), DID, "it")
