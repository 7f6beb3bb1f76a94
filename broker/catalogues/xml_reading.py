"""XML of servers that may be hostile: no DTD, and so no entities; no name longer than the document."""

from __future__ import annotations

from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

# of a namespace, which the parser copies into the name of each element that is in it: a megabyte of it and
# a hundred thousand elements are minutes
LONGEST_NAMESPACE = 300


def read_xml(text: str) -> Element:
    """The document's element. Raises ValueError for what is no XML, or would cost more than its length."""
    parser = XMLParser(target=_Builder())
    try:
        parser.feed(text)
        found = parser.close()
    except ParseError as problem:
        raise ValueError(f"it is no XML: {problem}") from None
    assert isinstance(found, Element)
    return found


class _Builder(TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        raise ValueError("it has a DTD")

    def start_ns(self, prefix: str, uri: str) -> None:
        if len(uri) > LONGEST_NAMESPACE:
            raise ValueError("it has a namespace of more letters than any")
