"""A small data centre of the Virtual Observatory on loopback: a registry's and an ObsCore TAP service, and
DataLink documents. Queries are run by SQLite, on what `Centre` holds.
"""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

TABLES = """
ATTACH ':memory:' AS rr; ATTACH ':memory:' AS ivoa;
CREATE TABLE rr.capability (ivoid, cap_index, standard_id);
CREATE TABLE rr.interface (ivoid, cap_index, access_url);
CREATE TABLE rr.relationship (ivoid, relationship_type, related_id);
CREATE TABLE ivoa.ObsCore (obs_publisher_did, access_url, access_format, access_estsize);
"""
DATALINK = "application/x-votable+xml;content=datalink"
COLUMNS = ["ID", "access_url", "service_def", "error_message", "semantics", "content_type", "content_length"]


@dataclass
class Centre:
    """`links` are rows of the DataLink documents by their name; a text is a document as it is."""

    url: str = ""
    database: Any = None
    links: dict[str, list[dict[str, str]] | str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, table: str, *row: str | int | None) -> None:
        self.database.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    def has_tap(self, ivoid: str, url: str) -> None:
        self.add("rr.capability", ivoid, 1, "ivo://ivoa.net/std/tap#aux")
        self.add("rr.interface", ivoid, 1, url)


def votable(names: list[str], rows: list[list[str]], error: str | None = None) -> str:
    """A table as VOTable 1.4 and DALI 1.1 write it."""
    status = f'<INFO name="QUERY_STATUS" value="{"ERROR" if error else "OK"}">{escape(error or "")}</INFO>'
    types = dict.fromkeys(names, 'datatype="char" arraysize="*"') | {"content_length": 'datatype="long"'}
    fields = "".join(f'<FIELD name="{name}" {types[name]}/>' for name in names)
    cells = "".join(f"<TR>{''.join(f'<TD>{escape(cell)}</TD>' for cell in row)}</TR>" for row in rows)
    table = f"<TABLE>{fields}<DATA><TABLEDATA>{cells}</TABLEDATA></DATA></TABLE>" if not error else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results">{status}{table}</RESOURCE>'
        '<RESOURCE type="meta" utype="adhoc:service" name="cutout"><PARAM name="accessURL" datatype="char" '
        'arraysize="*" value="http://127.0.0.1/cutout"/></RESOURCE></VOTABLE>'
    )


def _application(centre: Centre) -> Starlette:
    async def sync(request: Request) -> Response:
        given = {name.upper(): value for name, value in request.query_params.items()}
        given |= {name.upper(): value for name, value in parse_qsl((await request.body()).decode())}
        query = given["QUERY"]
        centre.asked.append(query)
        limited = re.sub(r"^SELECT TOP (\d+) (.*)$", r"SELECT \2 LIMIT \1", query, flags=re.DOTALL)
        try:
            found = centre.database.execute(limited)
        except sqlite3.Error as problem:
            return Response(votable([], [], str(problem)), 400, media_type="application/x-votable+xml")
        names = [column[0] for column in found.description]
        rows = [["" if cell is None else str(cell) for cell in row] for row in found]
        if given.get("RESPONSEFORMAT", given.get("FORMAT")) == "csv":
            text = io.StringIO()
            csv.writer(text).writerows([names, *rows])
            return PlainTextResponse(text.getvalue(), media_type="text/csv")
        return Response(votable(names, rows), media_type="application/x-votable+xml")

    async def links(request: Request) -> Response:
        found = centre.links.get(request.path_params["name"])
        if found is None:
            return Response(status_code=404)
        if not isinstance(found, str):
            found = votable(COLUMNS, [[row.get(name, "") for name in COLUMNS] for row in found])
        return Response(found, media_type=DATALINK)

    async def data(request: Request) -> Response:
        return Response(b"x" * 77)

    return Starlette(
        routes=[
            Route("/tap/sync", sync, methods=["GET", "POST"]),
            Route("/links/{name}", links),
            Route("/data/{name}", data),
        ]
    )


@contextmanager
def data_centre() -> Iterator[Centre]:
    centre = Centre(database=sqlite3.connect(":memory:", check_same_thread=False))
    centre.database.executescript(TABLES)
    server = uvicorn.Server(uvicorn.Config(_application(centre), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        centre.url = f"http://127.0.0.1:{port}"
        yield centre
    finally:
        server.should_exit = True
        thread.join()
        centre.database.close()
