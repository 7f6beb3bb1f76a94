"""How a user reaches an interactive session: the URL that Skaha gives it, and a path in there."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, urlsplit, urlunsplit

from broker.model import Connector, Port
from broker.platforms.skaha_answers import Session
from broker.platforms.skaha_launch import CONTRIBUTED_PORT, NOTEBOOK_PORT

# where JupyterLab shows files, below a session's own path
TREE = "/lab/tree"


def contributed_connector(port: Port, session: Session) -> Connector:
    """Raises ValueError for a session without a URL."""
    return _connector(CONTRIBUTED_PORT, session, (port.path or "").lstrip("/"), port.access)


def notebook_connector(place: str, session: Session) -> Connector:
    """The notebook at `place` in the containers' storage. Raises ValueError."""
    url = urlsplit(session.connect_url or "")
    # .../<id>/lab/tree/<the user's home>?token=..., of old versions .../<id>/lab?token=...
    above, found, _ = url.path.partition("/lab")
    if not found:
        raise ValueError("its URL shows no JupyterLab")
    whole = urlunsplit(url._replace(path=f"{above}{TREE}{quote(place)}"))
    return _connector(NOTEBOOK_PORT, replace(session, connect_url=whole), "", True)


def _connector(internal: int, session: Session, path: str, access: bool) -> Connector:
    url = urlsplit(session.connect_url or "")
    if not url.hostname:
        raise ValueError("it has no URL")
    location = urlunsplit(url._replace(path=f"{url.path.rstrip('/')}/{path}")) if path else url.geturl()
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return Connector(internal, url.scheme.upper(), location, (url.hostname,), port, access)
