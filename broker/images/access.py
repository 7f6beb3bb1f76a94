"""What registries may be asked for a site: public ones, those of the federation, and its operator's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from broker.catalogues.urls import allowed_at
from broker.images import Access
from broker.images.registries import Registries
from federation.sites import Federation, Site
from netprobe.addresses import Allowed


def site_access(federation: Federation, site: Site, registries: Registries, auth_file: Path | None) -> Access:
    """Sites whose operators say the same have the same access, and one question serves them all."""
    peers = (*allowed_at(federation, None).peers, *(name for each in federation for name in each.registries))
    own = allowed_at(federation, replace(site, data_hosts=()))
    allowed = Allowed((*registries.hosts(), *own.hosts), peers, own.networks)
    return Access(registries, auth_file, allowed)
