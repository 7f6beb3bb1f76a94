"""How the service's log is written: every line with its request's id, and none with a credential."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from broker.http.visits import request_id

HIDDEN = "***"
# What looks like a credential, wherever it comes from: also from a library's message, or from a traceback.
_CREDENTIALS = (
    # JSON Web Tokens
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)*"), HIDDEN),
    # what an Authorization header holds, with its name or without
    (re.compile(r"(?i)(authorization['\"]?\s*[,:=]\s*(?:b?['\"])?)[^'\"\r\n]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/-]{8,}=*"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b([Bb]asic)\s+(?=[A-Za-z0-9+/]*[A-Z0-9=])[A-Za-z0-9+/]{4,}={0,2}"), rf"\1 {HIDDEN}"),
    # user and password of a URL, and its query, where signatures and tokens are
    (re.compile(r"(\b[a-zA-Z][\w+.-]*://)[^/\s'\"?#]*@"), rf"\1{HIDDEN}@"),
    (re.compile(r"(\b[a-zA-Z][\w+.-]*://[^\s'\"?<>]*)\?[^\s'\"<>]*"), rf"\1?{HIDDEN}"),
    (
        re.compile(r"(?i)((?:token|signature|secret|password|passwd|credential|api_?key)['\"]?\s*[:=]\s*)"
                   r"(?:'[^']*'|\"[^\"]*\"|[^\s&'\",;)}]+)"),
        rf"\1{HIDDEN}",
    ),
)  # fmt: skip
_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


def redact(text: str) -> str:
    """The text without what looks like a credential."""
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return text


class Formatter(logging.Formatter):
    """Lines, and tracebacks, as `redact` leaves them, with the id of the request that they belong to."""

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get() or "-"
        return redact(super().format(record))


def log_config(level: str) -> Mapping[str, Any]:
    """For `logging.config`: all to standard error. `level` "info" has a line for every request."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": Formatter, "fmt": _FORMAT}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # these tell of every request that the broker makes
        "loggers": {name: {"level": "WARNING"} for name in ("httpx", "httpcore")},
    }
