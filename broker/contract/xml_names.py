"""Any text as the name of an XML element, and back: keys of a map are whatever a client calls them.

A character that may not stand in a name is written `_xHHHH_` with its code point in hexadecimal (eight
digits beyond U+FFFF), as ISO/IEC 9075-14 (SQL/XML) has it and .NET's XmlConvert writes it; a `_` that would
be read as the beginning of such an escape is written `_x005F_`. The empty text, for which these have no
word, is `_x_`.
"""

from __future__ import annotations

import re

# letters of other scripts are escaped too: which of them may stand in a name differs between editions of XML
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_FOREIGN = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})_", re.ASCII)
_STARTS_ESCAPE = re.compile(r"_(?=x(?:[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})_)", re.ASCII)
_EMPTY = "_x_"


def to_name(text: str) -> str:
    """The name of an element that stands for `text`; a name that is one already stays as it is."""
    if not text:
        return _EMPTY
    if text == _EMPTY:
        return "_x005F_x_"
    name = _FOREIGN.sub(_escaped, _STARTS_ESCAPE.sub("_x005F_", text))
    # names that begin with "xml" in any case are XML's own
    if not _PLAIN.fullmatch(name) or name[:3].lower() == "xml":
        name = _escaped(name[0]) + name[1:]
    return name


def from_name(name: str) -> str:
    """The text that an element's name stands for."""
    return "" if name == _EMPTY else _ESCAPE.sub(_unescaped, name)


def _escaped(character: re.Match[str] | str) -> str:
    code = ord(character if isinstance(character, str) else character[0])
    return f"_x{code:04X}_" if code < 0x10000 else f"_x{code:08X}_"


def _unescaped(escape: re.Match[str]) -> str:
    code = int(escape[1], 16)
    return chr(code) if code < 0x110000 else escape[0]
