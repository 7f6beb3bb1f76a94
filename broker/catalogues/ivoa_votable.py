"""Tables of the Virtual Observatory as VOTable writes them: one table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from broker.catalogues import CatalogueError
from broker.catalogues.ivoa_binary import BinaryError, binary_rows
from broker.catalogues.xml_reading import read_xml
from federation.errors import one_line
from netprobe.mover_http import shown

Row = Mapping[str, str]
BINARY = ("BINARY", "BINARY2")
# for rows that a library reads, where the caller says nothing else
BINARY_SECONDS = 8.0


class VotableError(CatalogueError):
    """The document is no such table, or says itself that something went wrong."""


def rows(body: str, about: str, seconds: float = BINARY_SECONDS) -> Sequence[Row]:
    """The rows of results by the names of their columns, in small letters; what is empty is left out.

    `about` is what the document is, for errors. Blocks for `seconds` at most, where rows are BINARY. Raises
    VotableError. Source: VOTable 1.4; DALI 1.1, section 4.4 for what went wrong.
    """
    root, results = _results(body, about)
    failed = _failure(results)
    if failed is not None:
        raise VotableError(f"{about}: the service says {failed}")
    table = results.find("TABLE")
    if table is None:
        raise VotableError(f"{about}: it holds no table")
    names = [field.get("name", "").lower() for field in table.findall("FIELD")]
    data = table.find("DATA")
    if data is None:
        return []
    text = data.find("TABLEDATA")
    if text is None:
        how = next((each.tag for each in data), "nothing")
        if how in BINARY:
            return _binary(body, root, f"{about}: its rows are {how}", seconds)
        raise VotableError(f"{about}: its rows are {how}: expected TABLEDATA, BINARY or BINARY2")
    found = []
    for row in text.findall("TR"):
        cells = [(cell.text or "").strip() for cell in row.findall("TD")]
        if len(cells) != len(names):
            raise VotableError(f"{about}: it has rows of another length than its columns")
        found.append({name: cell for name, cell in zip(names, cells, strict=True) if cell})
    return found


def _binary(body: str, root: Element, what: str, seconds: float) -> Sequence[Row]:
    """Rows that are no text. Raises VotableError."""
    elsewhere = next((each.get("href") for each in root.iter("STREAM") if each.get("href")), None)
    if elsewhere is not None:
        raise VotableError(f"{what}, in a file of their own ({shown(elsewhere)[:80]!r}), which isn't fetched")
    try:
        return binary_rows(body, seconds)
    except BinaryError as problem:
        raise VotableError(f"{what}: {problem}") from problem


def error_in(body: str) -> str | None:
    """What a service says that went wrong, where `body` is a VOTable that says so."""
    try:
        return _failure(_results(body, "")[1])
    except VotableError:
        return None


def _failure(results: Element) -> str | None:
    for info in results.iter("INFO"):
        if info.get("name") == "QUERY_STATUS" and info.get("value", "").upper() == "ERROR":
            return repr(one_line(info.text or "")[:200])
    return None


def _results(body: str, about: str) -> tuple[Element, Element]:
    """The document, and its element with the results; all names without their namespace: each version has
    its own."""
    try:
        root = read_xml(body)
    except ValueError as problem:
        raise VotableError(f"{about}: it is no VOTable") from problem
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    if root.tag != "VOTABLE":
        raise VotableError(f"{about}: it is no VOTable")
    found = root.findall("RESOURCE")
    return root, next((each for each in found if each.get("type") == "results"), found[0] if found else root)
