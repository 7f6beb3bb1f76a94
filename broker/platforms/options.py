"""What the platforms share in reading a site's catalogue: its options, and what its machines can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broker.images import architecture as architecture
from broker.model import Executable, Note
from federation.errors import InputError
from federation.sites import Platform, Site

# options in the same table that are read elsewhere: by offers, and by the static source of bookings
ELSEWHERE = frozenset({"io_throughput", "bookings"})


def read_options(site: Site, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `site`'s platform over `defaults`. Unknown ones and wrong types raise InputError.

    A default's type is what is expected; a whole number does for a number; None stands for "optional text".
    """
    if site.platform is None:
        raise InputError(f"site {site.id!r} has no platform")
    found = dict(defaults)
    for name, value in site.platform.options.items():
        if name in ELSEWHERE:
            continue
        where = f"site {site.id!r}: option {name!r} of platform {site.platform.kind!r}"
        if name not in defaults:
            raise InputError(f"{where} is not known: expected one of {', '.join(sorted(defaults))}")
        wanted = str if defaults[name] is None else type(defaults[name])
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise InputError(f"{where}: expected {wanted.__name__}, got {value!r}")
        found[name] = value
    return found


def check_executable(site: Site, platform: Platform, executable: Executable) -> Sequence[Note]:
    """Why machines like those of `site` can't run `executable`, whatever engine drives them."""
    notes = []
    if architecture(executable.architecture) not in map(architecture, platform.architectures):
        notes.append(
            Note(
                "architecture",
                "{site} runs {found} images, not {wanted}",
                {
                    "site": site.id,
                    "found": " and ".join(platform.architectures),
                    "wanted": executable.architecture,
                },
                path="/executable/image/platform/architecture",
            )
        )
    if executable.os.lower() != "linux":
        notes.append(
            Note(
                "operating-system",
                "{site} runs linux images, not {wanted}",
                {"site": site.id, "wanted": executable.os},
                path="/executable/image/platform/os",
            )
        )
    return notes
