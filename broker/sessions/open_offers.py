"""How many offers somebody has open, for sites that limit them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from broker.model import Phase
from broker.tables import holds, sessions
from federation.sites import Federation


def room(connection: Connection, federation: Federation, owner: str, now: datetime) -> dict[str, int]:
    """How many more offers `owner` may have open, by those sites that limit them; never negative.

    Counted in the transaction that then makes offers: the caller has locked the sites, so that two requests
    of one client don't both get the last place.
    """
    limits = {
        site.id: site.policy.max_open_offers for site in federation if site.policy.max_open_offers is not None
    }
    if not limits:
        return {}
    query = (
        select(holds.c.site, func.count())
        .join(sessions, sessions.c.uuid == holds.c.session)
        .where(
            sessions.c.owner == owner,
            sessions.c.phase == Phase.OFFERED.value,
            holds.c.expires > now,
            holds.c.site.in_(limits),
        )
        .group_by(holds.c.site)
    )
    opened: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
    return {site: max(0, limit - opened.get(site, 0)) for site, limit in limits.items()}
