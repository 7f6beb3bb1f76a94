"""One result of measuring the network, in SI units, with where it came from."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What was measured."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    LOSS = "loss"
    PATH = "path"
    TRANSFER = "transfer"


class Origin(StrEnum):
    """Who measured it."""

    SCRIPTED = "scripted"
    PERFSONAR = "perfsonar"
    PSCHEDULER = "pscheduler"
    STAGING = "staging"


@dataclass(frozen=True)
class Measurement:
    """A result, or a failure with its reason: both are kept.

    The direction is that of the data: `source` sends, `destination` receives, also for reversed tests.

    `figures` uses these names (all floats; absent where not measured):

    ======================== =====================================================================
    bits_per_second          received rate (throughput), or size * 8 / seconds (transfer)
    sent_bits_per_second     the sender's view of the same
    retransmits              count
    rtt_seconds              median round trip
    rtt_seconds_min          smallest round trip
    rtt_seconds_p90          90 % quantile of the round trip
    loss_ratio               0 to 1
    mss_bytes                maximum segment size of the connection
    jitter_seconds           variation of the delay between packets (UDP)
    packets_sent             count, of a test that counts packets
    packets_lost             count
    owd_seconds              median one-way delay; may be negative where clocks disagree
    owd_seconds_min          smallest one-way delay
    owd_seconds_p90          90 % quantile of the one-way delay
    clock_error_seconds      how wrong the two clocks may be at most, as the tool has it
    hops                     number of routers and the destination (path)
    path_mtu_bytes           largest packet that goes through whole (path)
    cpu_percent_source       processor use of the tool at the sending end, 100 is one core
    cpu_percent_destination  and at the receiving end
    size_bytes, files        what a transfer moved
    seconds                  how long a transfer took, first connect to verified on disk
    predicted_seconds        what had been forecast for that transfer (median), where it was
    predicted_seconds_p10    and its 10 % and 90 % quantiles
    predicted_seconds_p90
    ======================== =====================================================================
    """

    kind: Kind
    source: str
    destination: str
    started: datetime
    seconds: float
    tool: str
    origin: Origin
    figures: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    source_address: str | None = None
    destination_address: str | None = None
    # None where it worked; else one line: which side failed, and why
    error: str | None = None
    # what explains the figures: tool versions, congestion control, buffers, MTU, what else ran
    context: Mapping[str, Any] = field(default_factory=dict)
    # where it was pulled from (an archive's name), None for what was measured here
    archive: str | None = None
    raw: Mapping[str, Any] | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def succeeded(self) -> bool:
        return self.error is None
