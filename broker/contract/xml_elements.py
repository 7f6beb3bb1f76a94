"""Bytes to plain elements, and elements to bytes: the XML that a document is made of, without what endangers.

DTDs, entities, external references and processing instructions are refused. Namespaces say nothing here: the
local name of an element counts, and attributes in a namespace (`xsi:schemaLocation`) are passed over, but for
`xsi:nil`, which is null. Comments are passed over too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import DefusedXMLParser

from broker.catalogues.xml_reading import LONGEST_NAMESPACE
from broker.contract.codec import DEPTH_LIMIT, Fault, Malformed, utf8

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# what XML 1.0 cannot carry, not even as a character reference
_UNCARRIED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_IN_TEXT = re.compile("[&<>\r]")
_IN_ATTRIBUTE = re.compile('[&<>"\t\n\r]')


@dataclass
class Element:
    """`tag` and the names of attributes are local names; `line` is where it begins (0: it was not read)."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""
    nil: bool = False
    line: int = 0

    @property
    def bare(self) -> bool:
        """Whether there is nothing but text in it."""
        return not self.attributes and not self.children


def parse(body: bytes) -> Element:
    """The root element. Raises Malformed with the line and column."""
    text = utf8(body)
    builder = _Builder()
    reader: Any = DefusedXMLParser(target=builder, forbid_dtd=True)
    builder.expat = reader.parser
    reader.parser.XmlDeclHandler = builder.declaration
    try:
        reader.feed(text)
        root: Element = reader.close()
    except ParseError as error:
        said = str(error).rpartition(": line")[0] or str(error)
        line, column = error.position
        raise Malformed(Fault(f"not XML: {said} at line {line}, column {column + 1}", "")) from None
    except DefusedXmlException as error:
        what = "a DTD" if isinstance(error, DTDForbidden) else "an entity or an external reference"
        raise Malformed(Fault(f"XML with {what} is not accepted{builder.where()}", "")) from None
    return root


class _Builder:
    """What the parser tells of a document, as elements."""

    expat: Any = None

    def __init__(self) -> None:
        self._root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []

    def where(self) -> str:
        return f" at line {self.expat.CurrentLineNumber}, column {self.expat.CurrentColumnNumber + 1}"

    def declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise Malformed(Fault(f"XML in {encoding[:40]} is not read here: UTF-8 is", ""))

    def start_ns(self, prefix: str, uri: str) -> None:
        if len(uri) > LONGEST_NAMESPACE:
            raise Malformed(Fault(f"a namespace of more than {LONGEST_NAMESPACE} letters{self.where()}", ""))

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= DEPTH_LIMIT:
            raise Malformed(Fault(f"nested deeper than {DEPTH_LIMIT}{self.where()}", ""))
        element = Element(
            tag.rpartition("}")[2],
            {name: value for name, value in attributes.items() if not name.startswith("{")},
            nil=attributes.get(_NIL, "").strip() in ("true", "1"),
            line=self.expat.CurrentLineNumber,
        )
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, tag: str) -> None:
        element, text = self._open.pop(), "".join(self._texts.pop())
        if not element.children:
            element.text = text
        elif text.strip():
            found = text.strip()[:40]
            raise Malformed(
                Fault(f"text between elements, in <{element.tag}> before{self.where()[3:]}: {found!r}", "")
            )

    def data(self, text: str) -> None:
        self._texts[-1].append(text)

    def pi(self, target: str, data: str | None = None) -> None:
        raise Malformed(
            Fault(f"XML with a processing instruction (<?{target[:40]}?>) is not accepted{self.where()}", "")
        )

    def close(self) -> Element:
        assert self._root is not None  # the parser refuses a document without an element itself
        return self._root


def serialise(root: Element) -> bytes:
    """The document of `root`. A character that XML can't carry becomes U+FFFD, the replacement character."""
    return "".join(["<?xml version='1.0' encoding='UTF-8'?>\n", *_pieces(root), "\n"]).encode()


def _pieces(element: Element) -> Iterable[str]:
    yield f"<{element.tag}"
    for name, value in element.attributes.items():
        yield f' {name}="{_escaped(value, _IN_ATTRIBUTE)}"'
    if not element.children and not element.text:
        yield "/>"
        return
    yield ">" + _escaped(element.text, _IN_TEXT)
    for child in element.children:
        yield from _pieces(child)
    yield f"</{element.tag}>"


def _escaped(text: str, special: re.Pattern[str]) -> str:
    return special.sub(lambda found: _ESCAPES[found[0]], _UNCARRIED.sub("\ufffd", text))
