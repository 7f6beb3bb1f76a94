"""The federation catalogue that the lab writes, so that everything else sees sites like any others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab import storage
from lab.description import Lab

IPERF3_PORT = 5201
HTTP_PORT = 8080


def catalogue(lab: Lab, lab_name: str) -> str:
    """The TOML text of the catalogue."""
    lines = [
        "# Written by `fairlead lab up`: the next one writes it anew.",
        f"name = {_value(lab.name)}",
    ]
    for site in lab.sites.values():
        lines += _table(
            f"sites.{site.id}",
            {
                "name": site.name,
                "latitude": site.latitude,
                "longitude": site.longitude,
                "rses": list(site.rses),
                "data_hosts": [site.address, f"{site.address}:{HTTP_PORT}"],
                "iperf3_address": site.address,
                "iperf3_port": IPERF3_PORT,
                "host": {"kind": "namespace", "name": site.host(lab_name).namespace},
            },
        )
        platform = {"kind": "podman", **site.tables.get("platform", {})}
        options = {"network": "none", "staging": str(storage.staging_dir(site.id))}
        platform["options"] = {**options, **platform.get("options", {})}
        for name, table in {**site.tables, "platform": platform}.items():
            lines += _table(f"sites.{site.id}.{name}", table)
    return "\n".join(lines) + "\n"


def _table(name: str, fields: Mapping[str, Any]) -> list[str]:
    return ["", f"[{name}]", *(f"{field} = {_value(value)}" for field, value in fields.items())]


def _value(value: Any) -> str:
    """One TOML value. What JSON makes of strings and numbers is TOML as well."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False)
