"""What the kinds of messages mean: a `kind` on the wire is the address of its entry here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from broker.contract.message_kinds import MESSAGE_KINDS, TOPICS, MessageKind, message_uri
from broker.http.front import Front, add_route
from broker.http.media import Refused, choose_writer, prefers_html

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1.05rem/1.55 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
dt { font-weight: 600; margin-top: 1rem; } dd { margin: 0; }
code { font-family: ui-monospace, monospace; font-size: .92em; }
"""
_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Vary": "Accept",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
_CODE = re.compile(r"`([^`]*)`")


def add_message_routes(router: APIRouter, front: Front) -> None:
    """These need no credentials, and say the same to everybody: browsers get a page to read."""

    async def read_kind(request: Request) -> Response:
        """What one kind of message means, and what to do about it."""
        slug = str(request.path_params["slug"])
        kind = MESSAGE_KINDS.get(slug)
        accept = request.headers.get("accept")
        as_page = prefers_html(accept)
        writer = None if as_page else choose_writer(accept)
        if kind is None:
            raise Refused(404, f"there is no message of the kind {slug[:80]!r}: /messages has all")
        base = front.base(request)
        if writer is None:
            return _page(kind.title, [f"<h1>{_text(kind.title)}</h1>", *_entry(kind), _all(base)])
        return writer.response(_document(kind, base), headers=_HEADERS)

    async def list_kinds(request: Request) -> Response:
        """All kinds of messages."""
        accept = request.headers.get("accept")
        base = front.base(request)
        if not prefers_html(accept):
            document = {"messages": [_document(kind, base) for kind in MESSAGE_KINDS.values()]}
            return choose_writer(accept).response(document, headers=_HEADERS)
        body = ["<h1>Messages</h1>"]
        for topic, title in TOPICS.items():
            kinds = [kind for kind in MESSAGE_KINDS.values() if kind.topic == topic]
            body += [f"<h2>{_text(title)}</h2>", "<dl>", *(_line(kind, base) for kind in kinds), "</dl>"]
        return _page("Messages", body)

    add_route(router, "GET", "/messages", list_kinds)
    add_route(router, "GET", "/messages/{slug}", read_kind)


def _document(kind: MessageKind, base: str) -> dict[str, str]:
    return {
        "kind": message_uri(base, kind.slug),
        "topic": TOPICS[kind.topic],
        "title": kind.title,
        "meaning": kind.meaning,
        "remedy": kind.remedy,
    }


def _page(title: str, body: Iterable[str]) -> HTMLResponse:
    text = "\n".join(body)
    return HTMLResponse(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)} - Fairlead</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{text}\n</main>\n</body>\n</html>\n",
        headers=_HEADERS,
    )


def _entry(kind: MessageKind) -> list[str]:
    return [
        f"<p><code>{escape(kind.slug)}</code></p>",
        f"<p>{_text(kind.meaning)}</p>",
        "<h2>What to do</h2>",
        f"<p>{_text(kind.remedy)}</p>",
    ]


def _line(kind: MessageKind, base: str) -> str:
    url = escape(message_uri(base, kind.slug))
    return f'<dt><a href="{url}">{_text(kind.title)}</a></dt>\n<dd>{_text(kind.meaning)}</dd>'


def _all(base: str) -> str:
    return f'<p><a href="{escape(base)}/messages">All messages</a></p>'


def _text(words: str) -> str:
    """What stands in backquotes is code."""
    return _CODE.sub(r"<code>\1</code>", escape(words))
