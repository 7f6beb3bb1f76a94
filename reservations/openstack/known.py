"""Everything that a caller may know of a Blazar, asked for in an order that keeps it consistent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reservations.openstack import nova, placement
from reservations.openstack.blazar import Blazar, Document, Hidden
from reservations.openstack.calendars import Known

# Leases come and go while we look; so often it is looked again for allocations that no lease explains.
_LOOKS = 3


@dataclass(frozen=True)
class Seen:
    """What was learnt, and which lines of Blazar's policy hide the rest."""

    known: Known
    hidden: tuple[str, ...] = ()


def look(blazar: Blazar) -> Seen:
    """Ask Blazar, and Nova and Placement where there are any. Raises as `Blazar`."""
    cloud = blazar.cloud
    hosts = blazar.hosts()
    allocations, leases = _allocated(blazar)
    flavours = nova.flavours(cloud)
    if isinstance(hosts, Hidden) or isinstance(allocations, Hidden):
        hidden = tuple(each.policy for each in (hosts, allocations) if isinstance(each, Hidden))
        return Seen(Known((), (), leases, flavours=flavours, projects=projects(blazar)), hidden)
    found = placement.providers(cloud, with_usages=False) or ()
    known = Known(
        hosts,
        allocations,
        leases,
        providers={each.name: each for each in found},
        flavours=flavours,
        projects=projects(blazar),
    )
    return Seen(known)


def projects(blazar: Blazar) -> Mapping[str, str]:
    """Names of projects by id, as far as Keystone tells this caller; the caller's own at least."""
    names: dict[str, str] = {}
    for path in ("/auth/projects", "/projects"):
        answer = blazar.cloud.ask("identity", "GET", path)
        if answer.ok:
            names.update({each["id"]: each["name"] for each in answer.body["projects"]})
    return names


def _allocated(blazar: Blazar) -> tuple[Sequence[Document] | Hidden, Sequence[Document]]:
    """Allocations first, then the leases that explain them; again where a lease came or went in between."""
    allocations, leases = blazar.allocations(), blazar.leases()
    for _ in range(_LOOKS - 1):
        if isinstance(allocations, Hidden) or not _unexplained(allocations, leases):
            break
        allocations, leases = blazar.allocations(), blazar.leases()
    return allocations, leases


def _unexplained(allocations: Sequence[Document], leases: Sequence[Document]) -> bool:
    known = {lease["id"] for lease in leases}
    return any(entry["lease_id"] not in known for each in allocations for entry in each["reservations"])
