"""Messages: a template, its values, and the text that they make (https://messagetemplates.org/)."""

from __future__ import annotations

from typing import Literal

from broker.contract.wire import Wire


class MessageItem(Wire):
    kind: str | None = None
    time: str | None = None
    level: Literal["DEBUG", "INFO", "WARN", "ERROR", "OTHER"] | None = None
    template: str | None = None
    values: dict[str, str] | None = None
    message: str | None = None
