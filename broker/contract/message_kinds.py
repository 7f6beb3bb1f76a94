"""What each kind of message means, and what to do about it: every slug that a note may have has its entry.

The wire's `kind` of a message is the URL of its entry at this service.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

TOPICS = {
    "request": "What is asked",
    "data": "Data",
    "site": "What a site can do",
    "offer": "Offers",
    "session": "Sessions",
}


@dataclass(frozen=True)
class MessageKind:
    """`topic` is one of TOPICS; `meaning` and `remedy` are whole sentences, with `code` in backquotes."""

    slug: str
    topic: str
    title: str
    meaning: str
    remedy: str


def _load() -> dict[str, MessageKind]:
    text = files("broker.contract").joinpath("message_kinds.toml").read_text(encoding="utf-8")
    return {
        slug: MessageKind(slug=slug, topic=topic, **words)
        for topic, kinds in tomllib.loads(text).items()
        for slug, words in kinds.items()
    }


MESSAGE_KINDS: Mapping[str, MessageKind] = _load()


def message_uri(base: str, slug: str) -> str:
    """`base` is the service's public URL without a slash at its end."""
    return f"{base}/messages/{slug}"


def page() -> str:
    """All kinds as a page of the documentation, in Markdown."""
    lines = [
        "# Messages",
        "",
        "Every message of the broker has a `kind`: a URL of that broker, `/messages/` and one of the names",
        "below. Its `level` says how much it matters: ERROR is a reason for a NO or a failure, WARN tells of",
        "what was done otherwise than asked, INFO of how things are. `values` are what `template` was filled",
        "with, and `values.path` is the part of the request that is meant, as a JSON Pointer.",
    ]
    for topic, title in TOPICS.items():
        lines += ["", f"## {title}"]
        for kind in MESSAGE_KINDS.values():
            if kind.topic == topic:
                lines += ["", f"### {kind.slug}", "", f"**{kind.title}.** {kind.meaning}", ""]
                lines += [f"*What to do:* {kind.remedy}"]
    return "\n".join(lines) + "\n"
