"""The cloud behind the ledger, where there are credentials for it: all leases, and the sizes of flavours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from federation.errors import OutsideError
from reservations.calendar import DISK_GB, MEMORY_MB, VCPU, Amounts
from reservations.openstack.connection import Cloud

# since then a flavour shows its extra specifications
_EXTRA_SPECS = "2.61"
_RESOURCES = "resources:"
# where Blazar waits for our own answer meanwhile
LIST_SECONDS = 10.0
# where nobody does: there may be thousands, which Blazar lists all at once
LONG_LIST_SECONDS = 600.0


def all_leases(cloud: Cloud, seconds: float) -> Sequence[Mapping[str, Any]]:
    """The leases of all projects, which may take so many seconds: `cloud` must be an administrator's. Raises
    OutsideError, InputError."""
    answer = cloud.ask("reservation", "GET", "/leases", timeout_seconds=seconds)
    leases = answer.body.get("leases") if answer.ok and isinstance(answer.body, Mapping) else None
    if not isinstance(leases, list):
        raise OutsideError(f"Blazar of {cloud} doesn't list its leases: {answer.said}")
    return leases


def flavour_amounts(cloud: Cloud, flavour: str) -> Amounts | None:
    """What a flavour takes by resource class, None where there is none of this id."""
    answer = cloud.ask("compute", "GET", f"/flavors/{quote(flavour, safe='')}", version=_EXTRA_SPECS)
    if answer.status == 404:
        return None
    if not answer.ok or not isinstance(answer.body, Mapping):
        raise OutsideError(f"Nova of {cloud} doesn't show the flavour {flavour!r}: {answer.said}")
    found = answer.body["flavor"]
    amounts = {VCPU: int(found["vcpus"]), MEMORY_MB: int(found["ram"]), DISK_GB: int(found["disk"])}
    for name, value in (found.get("extra_specs") or {}).items():
        if name.startswith(_RESOURCES) and str(value).isdecimal():
            amounts[name.removeprefix(_RESOURCES)] = int(value)
    return amounts
