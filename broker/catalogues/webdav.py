"""Folders of WebDAV (RFC 4918): what is in one and below it, by PROPFIND, one level of folders at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree.ElementTree import Element

from broker.catalogues import MOST_FILES, CatalogueError
from broker.catalogues.fields import bytes_in
from broker.catalogues.urls import wrong_with
from broker.catalogues.xml_reading import read_xml
from netprobe.mover_ask import Answer, Request

MOST_FOLDERS = 1000
MOST_LEVELS = 32
# of one folder: 10,000 entries take about 5 MB
MOST_BYTES = 32 * 1024 * 1024
# folders that are asked for at once, what each of several may say, and all of them
AT_ONCE, SHARE_BYTES, ALL_BYTES = 128, 5 * 1024 * 1024, 64 * 1024 * 1024
MULTI_STATUS = 207
BODY = (
    '<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/>'
    "<getcontentlength/></prop></propfind>"
)
HEADERS = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8"}

# the names on its path, and where it is
_Folder = tuple[tuple[str, ...], str]
# sends requests, all to one server, and gives the answers in their order
Ask = Callable[[Sequence[Request]], Sequence[Answer]]


@dataclass(frozen=True)
class DavFile:
    """A file below a folder: its path in there, with "/" between its parts, and where it is."""

    path: str
    url: str
    size_bytes: int | None


class DavError(CatalogueError):
    """The folder can't be listed. `status` is the HTTP status of the server's answer; None: there was none,
    and with `forbidden` nothing was sent, for the address is not allowed."""

    def __init__(self, text: str, status: int | None = None, forbidden: bool = False) -> None:
        super().__init__(text)
        self.status, self.forbidden = status, forbidden


class TooManyError(DavError):
    """There is more in it than is brought."""


@dataclass(frozen=True)
class _Entry:
    parts: tuple[str, ...]
    raw_path: str
    folder: bool
    size_bytes: int | None


def files_below(url: str, ask: Ask) -> list[DavFile] | None:
    """All files of the folder at `url` and of the folders in it, by path; None where `url` is no folder.

    Raises DavError.
    """
    root = _parts(urlsplit(url).path)
    server = urljoin(url, "/").rstrip("/")
    found: list[DavFile] = []
    seen = {root}
    level = [(root, url)]
    said = 0
    for _ in range(MOST_LEVELS):
        deeper = []
        for (parts, folder_url), answer in _answers(level, ask):
            said += len(answer.body)
            if said > ALL_BYTES:
                raise TooManyError(f"{url}: what is in it takes more than {ALL_BYTES} bytes to say")
            for entry in _entries(answer, parts, folder_url):
                inside = entry.parts[len(root) :]
                if entry.parts == root:
                    if not entry.folder:
                        return None
                elif not entry.folder:
                    where = f"{server}{entry.raw_path}"
                    found.append(DavFile("/".join(inside), where, entry.size_bytes))
                elif entry.parts not in seen:
                    seen.add(entry.parts)
                    deeper.append((entry.parts, f"{server}{entry.raw_path.rstrip('/')}/"))
            if len(found) > MOST_FILES or len(seen) > MOST_FOLDERS:
                most = f"at most {MOST_FILES} files in {MOST_FOLDERS} folders"
                raise TooManyError(f"{url} holds more than can be brought: {most}")
        if not deeper:
            return sorted(found, key=lambda file: file.path)
        level = deeper
    raise TooManyError(f"{url} has folders in folders more than {MOST_LEVELS} deep")


def _answers(level: Sequence[_Folder], ask: Ask) -> Iterator[tuple[_Folder, Answer]]:
    """Each folder of the level with what its server says; a part of them at a time, for memory has an end."""
    most = MOST_BYTES if len(level) == 1 else SHARE_BYTES
    for start in range(0, len(level), AT_ONCE):
        some = level[start : start + AT_ONCE]
        requests = [Request(each, "PROPFIND", HEADERS, BODY, most) for _, each in some]
        yield from zip(some, ask(requests), strict=True)


def _entries(answer: Answer, folder: tuple[str, ...], url: str) -> Iterator[_Entry]:
    """What a folder's answer lists: itself, and what is right in it. Raises DavError."""
    if answer.error is not None:
        raise DavError(answer.error, forbidden=answer.reason == "forbidden")
    if answer.status != MULTI_STATUS:
        raise DavError(f"{url}: the server answered {answer.status} to PROPFIND", answer.status)
    if not answer.whole:
        raise DavError(f"{url}: the list of what is in it broke off, or is too long", MULTI_STATUS)
    for response in _responses(answer.body, url):
        href = (response.findtext("{DAV:}href") or "").strip()
        # some servers write whole URLs, with the name that they have behind a proxy
        raw_path = _path(href)
        parts = _parts(raw_path)
        strange = any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts)
        above = parts[: len(folder)] != folder or len(parts) > len(folder) + 1
        if strange or above or wrong_with(f"http://host{raw_path.replace(' ', '%20')}") is not None:
            raise DavError(f"{url}: the server lists what is not in it: {href[:80]!r}", MULTI_STATUS)
        known = [
            each.find("{DAV:}prop")
            for each in response.findall("{DAV:}propstat")
            if " 200 " in f"{each.findtext('{DAV:}status')} "
        ]
        properties = [each for each in known if each is not None]
        is_folder = any(each.find("{DAV:}resourcetype/{DAV:}collection") is not None for each in properties)
        sizes = [(each.findtext("{DAV:}getcontentlength") or "").strip() for each in properties]
        size = next((found for each in sizes if (found := bytes_in(each)) is not None), None)
        yield _Entry(parts, raw_path, is_folder, size)


def _path(href: str) -> str:
    """Empty where it is no URL."""
    try:
        return urlsplit(href).path
    except ValueError:
        return ""


def _responses(body: str, url: str) -> list[Element]:
    try:
        root = read_xml(body)
    except ValueError as problem:
        raise DavError(f"{url}: what the server lists is no XML of WebDAV", MULTI_STATUS) from problem
    if root.tag != "{DAV:}multistatus":
        raise DavError(f"{url}: what the server lists is no XML of WebDAV", MULTI_STATUS)
    return list(root.findall("{DAV:}response"))


def _parts(path: str) -> tuple[str, ...]:
    """The names on a path, decoded; one slash at its end changes nothing."""
    return tuple(
        unquote(part) for part in path.removeprefix("/").removesuffix("/").split("/") if path.strip("/")
    )
