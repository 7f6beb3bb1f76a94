"""coral-credits (StackHPC): accounts with allocations of resource-hours by class.

    [sites.perth.credits]
    source = "coral"
    [sites.perth.credits.options]
    url = "https://credits.example.org"       # required
    token_file = "/etc/fairlead/coral-token"  # required: an API token; read again for each request
    project = "8a7a9248a0024f9dbca6e48d2824791d"  # its id; whose credits, unless a caller says
    ca_file = "/etc/ssl/cloud-ca.pem"         # (the system's authorities)
    request_seconds = 10                      # (10)

One purse for each class of the allocations that are valid now. What is left is `resource_hours`: the service
has subtracted there what was spent, and does it once more in `resource_hours_remaining` of its summaries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from federation.about import About
from federation.clock import Clock
from federation.errors import OutsideError
from federation.sites import Credits, Site
from reservations.credits import Account, named_project
from reservations.credits.fetching import Fetcher, read_fetcher
from reservations.tables import Table

_REMARK = "the service takes no booking that leaves out one of its classes: {classes}"


@dataclass(frozen=True)
class CoralCredits:
    """The service that the options name."""

    ABOUT = About(
        does="Accounts and allocations of coral-credits.",
        cannot="Needs an API token of that service.",
    )

    site: Site
    credits: Credits
    clock: Clock

    def __post_init__(self) -> None:
        self._options()

    def accounts(self, project: str | None = None) -> Sequence[Account]:
        fetcher, default, where = self._options()
        wanted = _plain(named_project(project, default, where))
        with fetcher:
            owners = {
                _last(each["account"])
                for each in _rows(fetcher, "resource_provider_account")
                if _plain(str(each["project_id"])) == wanted
            }
            now = self.clock.now()
            # by id, as the service goes through them: of two with the same class it takes the later one
            allocations = sorted(
                (each for each in _rows(fetcher, "allocation") if _last(each["account"]) in owners),
                key=lambda each: int(each["id"]),
            )
            valid = [each for each in allocations if _instant(each["start"]) <= now <= _instant(each["end"])]
            found: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
            for allocation in valid:
                for resource in _rows(fetcher, f"allocation/{allocation['id']}/resources"):
                    found[str(resource["resource_class"]["name"])] = (allocation, resource)
        remark = _REMARK.format(classes=", ".join(found))
        return [
            Account(
                name=f"{allocation['name']}: {name}",
                unit=f"{name}-hours",
                left=float(resource["resource_hours"]),
                granted=_optional(resource.get("allocated_resource_hours")),
                # each purse knows all classes, so that each refuses what none of them has
                per_hour={other: 1.0 if other == name else 0.0 for other in found},
                known_at=now,
                start=_instant(allocation["start"]),
                end=_instant(allocation["end"]),
                whole_units=True,
                refuses_unnamed=True,
                remarks=(remark,),
            )
            for name, (allocation, resource) in found.items()
        ]

    def _options(self) -> tuple[Fetcher, str | None, str]:
        options = Table(self.credits.options, f"[sites.{self.site.id}.credits.options]")
        fetcher = read_fetcher(options, "Bearer")
        project = options.text("project", None)
        options.end()
        return fetcher, project, options.where


def _rows(fetcher: Fetcher, path: str) -> list[Any]:
    rows = fetcher.json(path)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise OutsideError(f"{fetcher.url}/{path}: expected a list of objects as coral-credits gives it")
    return [_Row(row, f"{fetcher.url}/{path}") for row in rows]


class _Row(dict[str, Any]):
    """An object of an answer; a field that it hasn't is told by name."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        super().__init__(values)
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise OutsideError(f"{self._where}: expected objects with {key!r} as coral-credits gives them")


def _last(url: Any) -> str:
    """The id at the end of an object's address."""
    return str(url).rstrip("/").rpartition("/")[2]


def _plain(project: str) -> str:
    """Project ids are the same with and without hyphens: Keystone writes none, Django does."""
    try:
        return UUID(project).hex
    except ValueError:
        return project


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _instant(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise OutsideError(f"coral-credits: expected an instant, got {text!r}") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
