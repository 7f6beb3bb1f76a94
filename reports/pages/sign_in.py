"""Signing in and out: the API's own passwords and tokens, once, in a form."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.audit import LOGIN, LOGOUT
from broker.http.media import Refused
from broker.http.visits import visit_of
from reports.pages.desk import (
    COOKIE,
    Desk,
    Viewer,
    add_form,
    asked_of,
    find_viewer,
    page,
    read_form,
    refusal,
    see_other,
    with_authorization,
)
from reports.pages.figures import warm_up
from reports.pages.signed_in import LIFETIME

# where a form may send people back to: a page of ours
_OURS = re.compile(r"/pages(?:[/?][\w\-./?=&%+:~]*)?", re.ASCII)
_HERE = ("same-origin", "none")


def sign_in_form(
    desk: Desk, request: Request, after: str, username: str = "", wrong: str = "", status: int = 200
) -> Response:
    """The page to sign in on, from which it goes on to `after`; `wrong`: what was wrong the last time."""
    return page(
        desk,
        request,
        None,
        "sign_in.html",
        status,
        title="Sign in",
        after=after,
        username=username,
        wrong=wrong,
        issuer=desk.front.gate.issuer,
        provider=desk.provider,
    )


def after_of(desk: Desk, request: Request, given: str) -> str:
    """Where to go on: to the page that was asked for, if it is one of ours."""
    root = desk.root(request)
    path = given.removeprefix(root)
    return root + (path if _OURS.fullmatch(path) else "/pages")


async def let_in(desk: Desk, request: Request, answer: Response, authorization: str) -> None:
    """Sign in who has come with an Authorization header that the gate takes; the old cookie is over."""
    visit = visit_of(request)
    visit.action, visit.noted = LOGIN, True
    await run_in_threadpool(desk.signed_in.end, request.cookies.get(COOKIE, ""))
    answer.set_cookie(
        COOKIE,
        await run_in_threadpool(desk.signed_in.begin, authorization),
        max_age=int(LIFETIME.total_seconds()),
        path=f"{desk.root(request)}/pages",
        secure=desk.secure(request),
        httponly=True,
        samesite="strict",
    )


def add_sign_in(router: APIRouter, desk: Desk) -> None:
    async def show(request: Request) -> Response:
        try:
            after = after_of(desk, request, asked_of(request, "next").get("next", ""))
            if "authorization" not in request.headers and await find_viewer(desk, request) is not None:
                return see_other(after)
            warm_up()
            return sign_in_form(desk, request, after)
        except Refused as error:
            return refusal(desk, request, error)

    async def sign_in(request: Request) -> Response:
        try:
            if not _from_here(desk, request):
                raise Refused(403, "this form is not ours: sign in on our own page")
            fields = await read_form(request)
        except Refused as error:
            return refusal(desk, request, error)
        after = after_of(desk, request, fields.get("next", ""))
        username, token = fields.get("username", ""), fields.get("bearer", "").strip()
        pair = f"{username}:{fields.get('password', '')}".encode()
        authorization = f"Bearer {token}" if token else f"Basic {base64.b64encode(pair).decode()}"
        try:
            if not token and ":" in username:
                raise Refused(401, "username or password is wrong")
            await desk.front.gate.somebody(with_authorization(request, authorization))
        except Refused as error:
            text = str(error.document["error"])
            # 403, not 401: a browser would ask in a window of its own
            status = 403 if error.status == 401 else error.status
            answer = sign_in_form(desk, request, after, username, text[:1].upper() + text[1:], status)
            if "Retry-After" in error.headers:
                answer.headers["Retry-After"] = error.headers["Retry-After"]
            return answer
        answer = see_other(after)
        await let_in(desk, request, answer, authorization)
        return answer

    async def sign_out(request: Request, viewer: Viewer) -> Response:
        visit_of(request).action = LOGOUT
        await run_in_threadpool(desk.signed_in.end, request.cookies.get(COOKIE, ""))
        answer = see_other(f"{desk.root(request)}/pages/sign-in")
        answer.delete_cookie(
            COOKIE,
            path=f"{desk.root(request)}/pages",
            secure=desk.secure(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    router.add_api_route("/pages/sign-in", show, methods=["GET", "HEAD"], response_model=None)
    router.add_api_route("/pages/sign-in", sign_in, methods=["POST"], response_model=None)
    add_form(router, desk, "/pages/sign-out", sign_out)


def _from_here(desk: Desk, request: Request) -> bool:
    """Whether a form without a token came from a page of ours, as far as the browser says.

    So that no other site signs somebody in as somebody else.
    """
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched in _HERE
    origin = request.headers.get("origin")
    hosts = (request.headers.get("host"), urlsplit(desk.front.base(request)).netloc)
    return origin is None or urlsplit(origin).netloc in hosts
