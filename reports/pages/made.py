"""Reports that were made: what is in the directory of the settings, to look at or to save."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from broker.http.media import Refused
from reports.pages.desk import Desk, Viewer, add_page, page

# files that the page lists, newest first
LISTED = 500
# what a browser shows; everything else it saves
_SHOWN = {
    "text/html",
    "application/pdf",
    "image/png",
    "image/svg+xml",
    "text/plain",
    "application/json",
    "text/csv",
}
# a report is somebody's file: it runs nothing, loads nothing, and knows no cookie of ours
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox"


@dataclass(frozen=True)
class Made:
    """One file: its path below the directory."""

    path: str
    size_bytes: int
    made: datetime

    @property
    def url(self) -> str:
        return quote(self.path)


def listing(directory: Path) -> list[Made]:
    """The files below `directory`, newest first; hidden ones and what lies outside of it don't count."""
    return sorted(_files(directory), key=lambda each: (each.made, each.path), reverse=True)[:LISTED]


def _files(directory: Path) -> Iterator[Made]:
    root = directory.resolve()
    if not root.is_dir():
        return
    for found in root.rglob("*"):
        relative = found.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or not _inside(found, root):
            continue
        try:
            known = found.stat()
        except OSError:
            continue  # it went a moment ago
        yield Made(relative.as_posix(), known.st_size, datetime.fromtimestamp(known.st_mtime, UTC))


def _inside(path: Path, root: Path) -> bool:
    """Whether it is a file of the directory, by whatever links it is reached."""
    try:
        return path.is_file() and path.resolve().is_relative_to(root)
    except OSError:
        return False


def add_made(router: APIRouter, desk: Desk) -> None:
    """Nothing where no directory is set."""
    directory = desk.reports
    if directory is None:
        return

    async def show(request: Request, viewer: Viewer) -> Response:
        """The list."""
        return await run_in_threadpool(
            lambda: page(
                desk, request, viewer, "made.html", title="Reports", made=listing(directory), listed=LISTED
            )
        )

    async def read(request: Request, viewer: Viewer) -> Response:
        """One report."""
        given = str(request.path_params["path"])
        path = directory.resolve() / given
        hidden = "\0" in given or any(part.startswith(".") for part in Path(given).parts)
        if hidden or not await run_in_threadpool(_inside, path, directory.resolve()):
            raise Refused(404, f"there is no report {given[:200]!r}")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY,
            "Vary": "Cookie, Authorization",
            "X-Content-Type-Options": "nosniff",
        }
        way = "inline" if kind in _SHOWN else "attachment"
        return FileResponse(path, 200, headers, kind, filename=path.name, content_disposition_type=way)

    add_page(router, desk, "/pages/reports", show)
    add_page(router, desk, "/pages/reports/{path:path}", read)
