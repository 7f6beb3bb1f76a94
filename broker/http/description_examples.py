"""Documents that the OpenAPI document shows."""

from __future__ import annotations

from typing import Any

from broker.contract import kinds
from broker.model import Phase

REQUEST: dict[str, Any] = {
    "executable": {
        "kind": kinds.DOCKER_CONTAINER,
        "meta": {"name": "checksum"},
        "image": {
            "locations": ["docker.io/library/alpine:3.22"],
            "digest": "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
        },
        "command": ["sha256sum", "/data/ngc1365.fits"],
    },
    "compute": {
        "kind": kinds.SIMPLE_COMPUTE,
        "cores": {"min": 2, "max": 4},
        "memory": {"min": 4},
    },
    "data": [
        {
            "kind": kinds.SIMPLE_DATA,
            "meta": {"name": "ngc1365.fits"},
            "location": "https://data.example.org/ngc1365.fits",
        }
    ],
    "schedule": {"requested": {"duration": "PT1H"}},
    "costs": [{"kind": kinds.MINMAX_COST, "type": "urn:ivoa:calycopis:cost:monetary", "max": 5.0}],
}

UPDATE: dict[str, Any] = {
    "kind": kinds.ENUM_VALUE_UPDATE,
    "path": "/phase",
    "value": Phase.ACCEPTED.value,
}
