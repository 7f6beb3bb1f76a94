"""Names of files made of names that clients chose."""

from __future__ import annotations

import hashlib
import re

# ext4, XFS and the like hold 255 bytes; the mover adds a suffix while it writes
LONGEST_NAME = 200


def plain_name(name: str) -> str:
    """`name` as the name of a file: the same if it is plain, else replaced so that two stay different."""
    plain = re.sub(r"[^A-Za-z0-9._+=@-]", "_", name)[:LONGEST_NAME].lstrip(".-")
    if plain == name and plain:
        return plain
    return f"{plain or 'item'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
