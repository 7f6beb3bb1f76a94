"""The service that Blazar's ExternalServiceFilter asks: POST check-create, check-update, on-end.

204: it may be; 403 with a `message`: it may not, and Blazar shows the message to its user as it is. Blazar
sends its `external_service_token` in X-Auth-Token. What else goes wrong (401 for another token, 400 for a
body that is none of Blazar's) it tells its users as a refusal without words.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import sqlalchemy as sa
from fastapi import Body, FastAPI, Header
from fastapi.responses import JSONResponse, Response

from federation.clock import Clock
from federation.errors import FairleadError
from reservations.calendar import Amounts
from reservations.enforcement.bodies import (
    Asked,
    BodyError,
    UnpriceableError,
    changed,
    read_lease,
    read_part,
    read_project,
)
from reservations.enforcement.cloud import LIST_SECONDS, LONG_LIST_SECONDS
from reservations.enforcement.ledger import DeniedError, Ledger
from reservations.enforcement.purses import flavour_size
from reservations.enforcement.reconcile import reconcile

# The leases of all projects, as Blazar lists them within so many seconds; raises FairleadError.
LeaseList = Callable[[float], Sequence[Mapping[str, Any]]]
FlavourSize = Callable[[str], Amounts | None]
_log = logging.getLogger(__name__)


class Enforcement:
    """What the service knows: the ledger, and the cloud where there are credentials for it.

    `exempt`: projects that may book without credits. `gpu_property`: the capability of hosts that counts
    their GPUs. `leases` and `flavour` ask the cloud; None: nobody to ask.
    """

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock,
        leases: LeaseList | None = None,
        flavour: FlavourSize | None = None,
        gpu_property: str | None = None,
        exempt: Collection[str] = (),
    ) -> None:
        self.ledger = Ledger(engine, clock)
        self._engine, self._clock, self._leases, self._flavour = engine, clock, leases, flavour
        self._gpu_property, self._exempt = gpu_property, frozenset(exempt)

    def create(self, body: Any) -> None:
        """Raises DeniedError, UnpriceableError, BodyError; as do the others."""
        asked = self._lease(body, read_part(body, "lease"))
        if asked is None:
            return
        try:
            self.ledger.check_create(asked)
        except DeniedError:
            # what stands in the way may never have become leases
            if not self.reconcile():
                raise
            self.ledger.check_create(asked)

    def update(self, body: Any) -> None:
        before = read_part(body, "current_lease")
        current, wanted = (
            self._lease(body, before),
            self._lease(body, changed(before, read_part(body, "lease"))),
        )
        if current is None or wanted is None:
            return
        try:
            self.ledger.check_update(current, wanted)
        except DeniedError:
            if not self.reconcile():
                raise
            self.ledger.check_update(current, wanted)

    def end(self, body: Any) -> None:
        ended = self._lease(body, read_part(body, "lease"))
        if ended is not None:
            self.ledger.on_end(ended)

    def reconcile(self, seconds: float = LIST_SECONDS) -> bool:
        """Compare with the cloud, whose list may take so long; whether that gave anything back. The cloud out
        of reach is logged only."""
        if self._leases is None:
            return False
        asked_at = self._clock.now()
        try:
            done = reconcile(self._engine, self._clock, self._leases(seconds), asked_at)
        except FairleadError as error:
            _log.warning("the cloud's leases can't be read: %s", error)
            return False
        return bool(done.given_up or done.ended)

    def _lease(self, body: Any, lease: Mapping[str, Any]) -> Asked | None:
        """None for a project that needs no credits."""
        project = read_project(body)
        return None if project in self._exempt else read_lease(lease, project, self._size, self._gpu_property)

    def _size(self, flavour: str) -> Amounts | None:
        said = flavour_size(self._engine, flavour)
        if said is not None or self._flavour is None:
            return said
        try:
            return self._flavour(flavour)
        except FairleadError as error:
            _log.warning("the flavour %s can't be looked up: %s", flavour, error)
            return None


def create_app(enforcement: Enforcement, token: str, reconcile_seconds: float | None = None) -> FastAPI:
    """The service. `reconcile_seconds`: how often to compare with the cloud; None: only when it must."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=_again, args=(enforcement, over, reconcile_seconds), daemon=True)
        thread.start()
        try:
            # a second Ctrl-C has the server drop us instead of waiting: that is an end as any other
            with suppress(asyncio.CancelledError):
                yield
        finally:
            over.set()

    app = FastAPI(
        title="Fairlead credits", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )

    def answer(action: Callable[[Any], None], body: Any, given: str | None) -> Response:
        if not hmac.compare_digest((given or "").encode(), token.encode()):
            return JSONResponse({"message": "expected this service's token in X-Auth-Token"}, 401)
        try:
            action(body)
        except (DeniedError, UnpriceableError) as denial:
            _log.info("denied: %s", denial)
            return JSONResponse({"message": str(denial)}, 403)
        except BodyError as error:
            _log.warning("a question that can't be read: %s", error)
            return JSONResponse({"message": f"this is no question of Blazar's: {error}"}, 400)
        return Response(status_code=204)

    def serve(path: str, action: Callable[[Any], None]) -> None:
        def handle(body: Any = Body(None), x_auth_token: str | None = Header(None)) -> Response:  # noqa: B008
            return answer(action, body, x_auth_token)

        # Blazar joins its base endpoint and these names; with and without a version in it
        app.post(f"/{path}")(handle)
        app.post(f"/v1/{path}")(handle)

    serve("check-create", enforcement.create)
    serve("check-update", enforcement.update)
    serve("on-end", enforcement.end)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app


def _again(enforcement: Enforcement, over: threading.Event, seconds: float | None) -> None:
    while seconds is not None and not over.wait(seconds):
        try:
            enforcement.reconcile(LONG_LIST_SECONDS)
        except Exception:
            # the next round may work: the database may be busy, or gone for a while
            _log.exception("comparing with the cloud failed")
