"""How often somebody may ask: a bucket of requests for each caller, which fills again evenly.

The buckets are this process's own: several processes behind one address allow several times as much. They are
kept as theoretical arrival times (the generic cell rate algorithm): one number for each caller, and none for
those whose bucket is full.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass

from federation.clock import Clock

# Callers that are remembered. Who asked last longest ago is forgotten first, and has a full bucket again.
MOST_CALLERS = 16_384


@dataclass(frozen=True)
class Policy:
    """`requests` at once, and as many again evenly over `seconds`."""

    name: str
    requests: int
    seconds: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """Whether a request may pass, how many more could follow at once, and the seconds until one can.

    `full_seconds`: until the bucket is full again.
    """

    policy: Policy
    allowed: bool
    remaining: int
    wait_seconds: float
    full_seconds: float

    def headers(self) -> dict[str, str]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers), and Retry-After of a no."""
        name, requests = self.policy.name, self.policy.requests
        headers = {
            "RateLimit-Policy": f'"{name}";q={requests};w={math.ceil(self.policy.seconds)}',
            "RateLimit": f'"{name}";r={self.remaining};t={math.ceil(self.full_seconds)}',
        }
        if not self.allowed:
            headers["Retry-After"] = str(max(1, math.ceil(self.wait_seconds)))
        return headers


class Limiter:
    """The buckets of one policy, on the clock that is handed in. Thread-safe."""

    def __init__(self, policy: Policy, clock: Clock, most_callers: int = MOST_CALLERS) -> None:
        self.policy, self._clock, self._most = policy, clock, most_callers
        self._interval = policy.seconds / policy.requests
        # when a bucket would be full again, as a timestamp; the one used last is at the end
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str) -> Verdict:
        """Take one request from the caller's bucket, if there is one."""
        return self._look(caller, take=True)

    def look(self, caller: str) -> Verdict:
        """What `take` would say, without taking anything."""
        return self._look(caller, take=False)

    def _look(self, caller: str, take: bool) -> Verdict:
        now = self._clock.now().timestamp()
        with self._lock:
            full_at = max(self._full_at.get(caller, now), now)
            after = full_at + self._interval
            wait = after - now - self.policy.seconds
            # a millionth for what adding up fractions loses
            allowed = wait <= 1e-6 * self._interval
            if allowed and take:
                self._full_at[caller] = full_at = after
                self._full_at.move_to_end(caller)
                while len(self._full_at) > self._most:
                    self._full_at.popitem(last=False)
        remaining = int((self.policy.seconds - (full_at - now)) / self._interval + 1e-6)
        return Verdict(self.policy, allowed, max(0, remaining), max(0.0, wait), full_at - now)


def address_key(address: str | None) -> str:
    """What of an address stands for one caller: IPv4 whole; of IPv6 the /64, the least that anybody gets."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
