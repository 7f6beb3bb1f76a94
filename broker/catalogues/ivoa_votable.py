"""Tables of the Virtual Observatory as VOTable writes them: one table of results, as text (TABLEDATA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from broker.catalogues import CatalogueError

Row = Mapping[str, str]


class VotableError(CatalogueError):
    """The document is no such table, or says itself that something went wrong."""


def rows(body: str, about: str) -> Sequence[Row]:
    """The rows of results by the names of their columns, in small letters; what is empty is left out.

    `about` is what the document is, for errors. Raises VotableError. Source: VOTable 1.4; DALI 1.1, section
    4.4 for what went wrong.
    """
    results = _results(body, about)
    for info in results.iter("INFO"):
        if info.get("name") == "QUERY_STATUS" and info.get("value", "").upper() == "ERROR":
            said = " ".join((info.text or "").split())[:200]
            raise VotableError(f"{about}: the service says {said!r}")
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
        raise VotableError(f"{about}: its rows are {how}: expected TABLEDATA")
    found = []
    for row in text.findall("TR"):
        cells = [(cell.text or "").strip() for cell in row.findall("TD")]
        if len(cells) != len(names):
            raise VotableError(f"{about}: it has rows of another length than its columns")
        found.append({name: cell for name, cell in zip(names, cells, strict=True) if cell})
    return found


def error_in(body: str) -> str | None:
    """What a service says that went wrong, where `body` is a VOTable that says so."""
    try:
        rows(body, "")
    except VotableError as error:
        _, told, said = str(error).partition(": the service says ")
        return said if told else None
    return None


def _results(body: str, about: str) -> Element:
    """The element with the results, all names without their namespace: each version has its own."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as problem:
        raise VotableError(f"{about}: it is no VOTable") from problem
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    if root.tag != "VOTABLE":
        raise VotableError(f"{about}: it is no VOTable")
    found = root.findall("RESOURCE")
    return next((each for each in found if each.get("type") == "results"), found[0] if found else root)
