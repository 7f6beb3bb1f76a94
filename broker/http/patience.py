"""How long a client may take to say what it wants: headers that never end keep no connection.

The server (uvicorn on h11) bounds how large the headers are, and how long a connection idles between
requests, but not how long a request's headers take. How long a body takes is bounded by `broker.http.visits`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# for all headers of a request, from the connection or their first byte on
HEADERS_SECONDS = 20.0


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a limit of time for the headers."""

    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._rest()
        elif self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADERS_SECONDS, self._too_slow)

    def _rest(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _too_slow(self) -> None:
        self._headers_due = None
        # nothing is answered: there is no request to answer yet
        self.transport.close()
