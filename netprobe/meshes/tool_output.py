"""What explains a throughput test's figures, from what its tool wrote: pScheduler keeps that in `diags`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from netprobe.meshes.values import storable
from netprobe.tools import iperf3_document

# of JSON within a text; more is no document of a test that somebody has run
_MOST = 8 * 2**20


def iperf3_of(diags: Any) -> dict[str, Any]:
    """The document of iperf3 at the client, which follows its command line; empty where there is none."""
    if not isinstance(diags, str):
        return {}
    begin = diags.find("\n{")
    if begin < 0 or len(diags) - begin > _MOST:
        return {}
    try:
        document, _ = json.JSONDecoder().raw_decode(diags, begin + 1)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def figures(document: Mapping[str, Any]) -> dict[str, float]:
    """What the result itself lacks: processor use at both ends, and the segment size."""
    found = iperf3_document.processors(document)
    mss = iperf3_document.figures(document).get("mss_bytes")
    return found if mss is None else found | {"mss_bytes": mss}


def context(document: Mapping[str, Any]) -> dict[str, Any]:
    """Release, congestion control, buffers and path MTU, by the names that our own tests have."""
    found: dict[str, Any] = storable(iperf3_document.context(document))
    return found
