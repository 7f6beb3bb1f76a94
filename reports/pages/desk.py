"""What the pages share: what is behind them, who looks, and how a page, or its figures, are written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from broker.http.front import Front
from broker.http.media import DEFAULT, Refused, read_limited
from broker.http.visits import visit_of
from broker.records import Owner
from federation.clock import Clock
from federation.errors import InputError
from federation.sites import Federation
from netprobe.archive import Archive
from netprobe.forecast import Forecaster
from reports.pages.provider import Provider
from reports.pages.signed_in import SignedIn, form_token, same_token
from reports.pages.templates import render
from reservations.snapshots import Snapshots
from reservations.sources import Placed

COOKIE = "fairlead_pages"
FORM_TYPE = "application/x-www-form-urlencoded"
HEADERS = {
    # what a page shows depends on who looks
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; style-src-attr 'unsafe-inline'; script-src 'self'; "
        "connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Vary": "Cookie, Authorization",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Desk:
    """Everything that the pages look at. `reports` None: none are listed; `provider` None: nobody signs in
    elsewhere."""

    front: Front
    federation: Federation
    archive: Archive
    forecaster: Forecaster
    sources: Sequence[Placed]
    snapshots: Snapshots
    clock: Clock
    signed_in: SignedIn
    reports: Path | None = None
    provider: Provider | None = None

    def root(self, request: Request) -> str:
        """The path under which the service is reached, without a slash at its end."""
        return urlsplit(self.front.base(request)).path.rstrip("/")

    def secure(self, request: Request) -> bool:
        """Whether browsers come by https."""
        return self.front.base(request).startswith("https:")

    def site(self, name: str) -> str:
        """The id of a site. Raises Refused (404)."""
        if name not in self.federation.sites:
            raise Refused(404, f"no site is called {name[:80]!r}")
        return name


@dataclass(frozen=True)
class Viewer:
    """Who looks. `token` goes into their forms; None: they came with a header, and get no forms."""

    owner: Owner
    token: str | None


Page = Callable[[Request, Viewer], Awaitable[Response]]


def add_page(router: APIRouter, desk: Desk, path: str, page: Page) -> None:
    """A page for those who are signed in; others are sent to sign in, and come back."""

    async def show(request: Request) -> Response:
        try:
            viewer = await find_viewer(desk, request)
            if viewer is None:
                return to_sign_in(desk, request)
            return await page(request, viewer)
        except Refused as error:
            return refusal(desk, request, error)

    router.add_api_route(path, show, methods=["GET", "HEAD"], response_model=None)


def add_form(router: APIRouter, desk: Desk, path: str, act: Page) -> None:
    """What a form of ours asks for. Nothing is done without the cookie and the form's token."""

    async def do(request: Request) -> Response:
        try:
            cookie = request.cookies.get(COOKIE, "")
            viewer = await _by_cookie(desk, request, cookie)
            if viewer is None:
                return to_sign_in(desk, request, back=False)
            if not same_token(cookie, (await read_form(request)).get("token", "")):
                raise Refused(403, "this form is not ours, or too old: go back, load the page again")
            return await act(request, viewer)
        except Refused as error:
            return refusal(desk, request, error)

    router.add_api_route(path, do, methods=["POST"], response_model=None)


def add_figures(
    router: APIRouter, desk: Desk, path: str, figures: Callable[[Request, Viewer], Awaitable[Any]]
) -> None:
    """The figures behind a page as JSON; errors are documents, as the API's are."""

    async def tell(request: Request) -> Response:
        viewer = await find_viewer(desk, request)
        if viewer is None:
            viewer = Viewer(await desk.front.gate.somebody(request), None)
        document = plain(await figures(request, viewer))
        return DEFAULT.response(document, headers={"Vary": "Cookie, Authorization"})

    router.add_api_route(path, tell, methods=["GET", "HEAD"], response_model=None)


async def find_viewer(desk: Desk, request: Request) -> Viewer | None:
    """Who looks, by header or by cookie. Raises Refused for a header that doesn't hold, and for too many."""
    if "authorization" in request.headers:
        return Viewer(await desk.front.gate.somebody(request), None)
    return await _by_cookie(desk, request, request.cookies.get(COOKIE, ""))


async def _by_cookie(desk: Desk, request: Request, cookie: str) -> Viewer | None:
    authorization = await run_in_threadpool(desk.signed_in.authorization, cookie)
    asked = with_authorization(request, authorization)
    if authorization is None:
        await desk.front.gate.who(asked)
        return None
    try:
        return Viewer(await desk.front.gate.somebody(asked), form_token(cookie))
    except Refused as error:
        if error.status not in (401, 403):
            raise
        # the password was changed, the token is over, the user may come no more
        await run_in_threadpool(desk.signed_in.end, cookie)
        return None


def with_authorization(request: Request, authorization: str | None) -> Request:
    """The request as it were with this header and no other of that name."""
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"authorization"]
    if authorization is not None:
        headers.append((b"authorization", authorization.encode("latin-1", "replace")))
    return Request({**request.scope, "headers": headers})


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises Refused: 415, 413, 400."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise Refused(415, "only forms are read here")
    if not hasattr(request.state, "form"):
        body = await read_limited(request)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100)
        except ValueError:
            raise Refused(400, "the form can't be read") from None
        request.state.form = dict(pairs)
    found: dict[str, str] = request.state.form
    return found


def page(
    desk: Desk,
    request: Request,
    viewer: Viewer | None,
    template: str,
    status: int = 200,
    **values: Any,
) -> Response:
    """A whole page. `figures` among the values: the path of the same as JSON."""
    html = render(
        template,
        root=desk.root(request),
        viewer=viewer,
        federation=desk.federation,
        now=desk.clock.now(),
        has_reports=desk.reports is not None,
        **values,
    )
    return Response(html, status, HEADERS, "text/html; charset=utf-8")


def refusal(desk: Desk, request: Request, error: Refused) -> Response:
    """An error as a page."""
    viewer = visit_of(request).owner
    text = str(error.document["error"])
    answer = page(
        desk,
        request,
        Viewer(viewer, None) if viewer else None,
        "error.html",
        error.status,
        text=text[:1].upper() + text[1:],
        status_code=error.status,
    )
    for name, value in error.headers.items():
        # a browser would ask for a password in a window of its own, and keep it
        if name.lower() != "www-authenticate":
            answer.headers[name] = value
    return answer


def to_sign_in(desk: Desk, request: Request, back: bool = True) -> Response:
    """To the form to sign in, and from there back to this page."""
    root = desk.root(request)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    after = f"?next={quote(path, safe='/')}" if back else ""
    return see_other(f"{root}/pages/sign-in{after}")


def see_other(url: str) -> Response:
    return RedirectResponse(url, 303, {"Cache-Control": "no-store"})


def asked_of(request: Request, *known: str) -> Mapping[str, str]:
    """The query's fields that say something; each once. Raises Refused (400) for others, as the API does."""
    found = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Refused(400, f"{name[:40]}: expected one of {', '.join(known)}")
        if value.strip():
            found[name] = value.strip()
    return found


def understood(read: Callable[[], Any]) -> Any:
    """What `read` reads of a query. Raises Refused (400) where it can't."""
    try:
        return read()
    except InputError as error:
        raise Refused(400, str(error)) from None


def plain(value: Any) -> Any:
    """What JSON can say of it: instants in ISO 8601, data classes as objects."""
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value
