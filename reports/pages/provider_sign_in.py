"""The pages' side of signing in at the federation's OpenID provider."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.http.media import Refused
from broker.records import Owner
from reports.pages.desk import Desk, Viewer, asked_of, page, refusal, see_other, with_authorization
from reports.pages.provider import Begun, Provider, ProviderError
from reports.pages.sign_in import after_of, let_in, sign_in_form

# remembered by the browser while it is at the provider, and sent when it is sent back from there
COOKIE = "fairlead_pages_begun"
MOST_SECONDS = 600


def add_provider_sign_in(router: APIRouter, desk: Desk) -> None:
    if desk.provider is None:
        return
    provider: Provider = desk.provider

    def back(request: Request) -> str:
        return f"{desk.front.base(request)}/pages/sign-in/back"

    def path(request: Request) -> str:
        return f"{desk.root(request)}/pages/sign-in"

    async def begin(request: Request) -> Response:
        try:
            after = after_of(desk, request, asked_of(request, "next").get("next", ""))
            # asks the provider: not for anybody, as often as they like
            await desk.front.gate.who(with_authorization(request, None))
        except Refused as error:
            return refusal(desk, request, error)
        try:
            where, begun = await provider.begin(back(request), after)
        except ProviderError as error:
            return sign_in_form(desk, request, after, wrong=_sentence(error), status=503)
        answer = see_other(where)
        answer.set_cookie(
            COOKIE,
            begun.text(),
            max_age=MOST_SECONDS,
            path=path(request),
            secure=desk.secure(request),
            httponly=True,
            # it has to come along when the provider sends the browser back
            samesite="lax",
        )
        return answer

    async def finish(request: Request) -> Response:
        begun = Begun.of(request.cookies.get(COOKIE, ""))
        after = after_of(desk, request, begun.after if begun else "")
        answer = await finished(request, begun, after)
        answer.delete_cookie(
            COOKIE, path=path(request), secure=desk.secure(request), httponly=True, samesite="lax"
        )
        return answer

    async def finished(request: Request, begun: Begun | None, after: str) -> Response:
        try:
            await desk.front.gate.who(with_authorization(request, None))
            tokens = await provider.finish(back(request), begun, request.query_params)
            owner, authorization = await taken(request, tokens)
        except ProviderError as error:
            return sign_in_form(desk, request, after, wrong=_sentence(error), status=403)
        except Refused as error:
            wrong = _sentence(error.document["error"])
            return sign_in_form(
                desk, request, after, wrong=wrong, status=403 if error.status == 401 else error.status
            )
        # a page that goes on, no redirection: the cookie isn't sent with one that began at another site
        answer = page(desk, request, Viewer(owner, None), "signed_in.html", title="Signed in", after=after)
        await let_in(desk, request, answer, authorization)
        return answer

    async def taken(request: Request, tokens: list[str]) -> tuple[Owner, str]:
        """Whose the first token is that the gate takes, as a header. Raises Refused where it takes none."""
        refused = Refused(403, f"the provider {provider.name} gave no token")
        for token in tokens:
            authorization = f"Bearer {token}"
            try:
                owner = await desk.front.gate.somebody(with_authorization(request, authorization))
                return owner, authorization
            except Refused as error:
                refused = error
        raise refused

    router.add_api_route("/pages/sign-in/provider", begin, methods=["GET"], response_model=None)
    router.add_api_route("/pages/sign-in/back", finish, methods=["GET"], response_model=None)


def _sentence(error: object) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
