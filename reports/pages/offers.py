"""Offers: what was asked for, what was answered and why in this order; and to accept one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from broker.contract.codec import YAML
from broker.contract.write import offerset_document
from broker.http.front import uuid_of
from broker.http.media import Refused
from broker.http.visits import reads, visit_of
from broker.model import Figure, Phase
from broker.offers.price import MONETARY, SECONDS_TO_RESULT
from broker.phases import Actor, allowed
from broker.records import OfferSetRecord, Owner, SessionRecord
from broker.sessions.listing import Filters
from reports.pages.desk import Desk, Viewer, add_figures, add_form, add_page, page, read_form, see_other

LISTED = 50
EXAMPLE = """\
executable:
  kind: https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/executable/docker-container.yaml
  meta: {name: hello}
  image: {locations: [docker.io/library/alpine:3.22]}
  command: [echo, hello]
compute:
  kind: https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/compute/simple-compute-resource.yaml
  cores: {min: 2, max: 4}
  memory: {min: 2, max: 2}
schedule:
  requested: {duration: PT10M}
"""


@dataclass(frozen=True)
class Offered:
    """One offer as the page has it: its session, and what of it the viewer may read and do."""

    session: SessionRecord
    site: str
    result_seconds: tuple[float, float] | None
    cost: tuple[float, float] | None
    reasons: tuple[str, ...]
    acceptable: bool


def may_change(session: SessionRecord, viewer: Viewer) -> list[Phase]:
    """The phases that the viewer's forms may ask for."""
    phases = allowed(session.phase, Actor.CLIENT)
    owner = viewer.owner
    if viewer.token is None:
        return []
    if not (owner.admin or owner.id == session.owner):
        # an operator may stop what others run, and no more
        return [phase for phase in phases if phase is Phase.CANCELLED and owner.sees_all]
    return phases


def told(component: Mapping[str, Any]) -> tuple[str, ...]:
    """The messages of a document."""
    messages = component.get("meta", {}).get("messages", ())
    return tuple(str(message.get("message", "")) for message in messages)


def add_offers(router: APIRouter, desk: Desk) -> None:
    def found(uuid: str, request: Request, owner: Owner) -> OfferSetRecord:
        record = desk.front.service.offerset(uuid)
        if record is None:
            raise Refused(404, f"there is no offer set {uuid}")
        reads(request, owner, record.owner)
        visit_of(request).action = "offerset.read"
        return record

    def listed(request: Request, viewer: Viewer, wrong: str = "", text: str = EXAMPLE) -> Response:
        mine = Filters((viewer.owner.id,))
        phases = [phase for phase in Phase if phase not in (Phase.OFFERED, Phase.REJECTED, Phase.EXPIRED)]
        sessions = desk.front.service.sessions(Filters(mine.owners, phases=phases), None, LISTED)
        return page(
            desk,
            request,
            viewer,
            "offers.html",
            400 if wrong else 200,
            title="Offers and sessions",
            offersets=desk.front.service.offersets(mine, None, LISTED).items,
            sessions=sessions.items,
            listed=LISTED,
            wrong=wrong,
            text=text,
        )

    async def show_list(request: Request, viewer: Viewer) -> Response:
        """One's own, newest first."""
        return await run_in_threadpool(listed, request, viewer)

    async def ask(request: Request, viewer: Viewer) -> Response:
        """Ask for offers with a document, as a client would."""
        text = (await read_form(request)).get("document", "")
        visit_of(request).action = "request.create"

        def answer() -> Response:
            document = YAML.read(text.encode())
            record = desk.front.service.request(document, viewer.owner)
            visit_of(request).target = record.uuid
            return see_other(f"{desk.root(request)}/pages/offers/{record.uuid}")

        try:
            return await desk.front.ask(answer)
        except Refused as error:
            return await run_in_threadpool(listed, request, viewer, str(error.document["error"]), text)

    async def show(request: Request, viewer: Viewer) -> Response:
        """One offer set, and why it is in this order."""
        uuid = uuid_of(request, "offer set")

        def answer() -> Response:
            record = found(uuid, request, viewer.owner)
            document = offerset_document(record, desk.front.base(request), viewer.owner)
            documents = document.get("offers", [])
            return page(
                desk,
                request,
                viewer,
                "offer_set.html",
                title=f"Offers for {document['meta'].get('name', 'a request')}",
                record=record,
                messages=told(document),
                offers=[
                    _offered(session, one, viewer)
                    for session, one in zip(record.sessions, documents, strict=True)
                ],
                figures=f"/pages/data/offers/{uuid}",
            )

        return await run_in_threadpool(answer)

    async def figures(request: Request, viewer: Viewer) -> Any:
        """The offer set as the API has it."""
        uuid, base = uuid_of(request, "offer set"), desk.front.base(request)
        return await run_in_threadpool(
            lambda: offerset_document(found(uuid, request, viewer.owner), base, viewer.owner)
        )

    add_page(router, desk, "/pages/offers", show_list)
    add_form(router, desk, "/pages/offers", ask)
    add_page(router, desk, "/pages/offers/{uuid}", show)
    add_figures(router, desk, "/pages/data/offers/{uuid}", figures)


def _offered(session: SessionRecord, document: Mapping[str, Any], viewer: Viewer) -> Offered:
    placement = session.placement
    return Offered(
        session,
        placement.site_id if placement else "?",
        _range(placement.metrics if placement else (), SECONDS_TO_RESULT),
        _range(placement.costs if placement else (), MONETARY),
        told(document),
        Phase.ACCEPTED in may_change(session, viewer),
    )


def _range(figures: Iterable[Figure], kind: str) -> tuple[float, float] | None:
    return next(((each.minimum, each.maximum) for each in figures if each.type == kind), None)
