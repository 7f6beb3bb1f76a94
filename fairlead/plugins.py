"""Every back-end that is installed: what it says of itself, where it comes from, and what it lacks here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from federation.about import About
from federation.errors import one_line

# by group of entry points, in the order in which they are shown: what each of them is called
GROUPS: Mapping[str, str] = {
    "fairlead.tools": "tool",
    "fairlead.meshes": "mesh",
    "fairlead.capacity": "capacity source",
    "fairlead.credits": "source of credits",
    "fairlead.platforms": "platform",
    "fairlead.catalogues": "catalogue",
}


@dataclass(frozen=True)
class Plugin:
    """One back-end. `about` None: it can't be loaded, or says nothing. `missing`: in words."""

    group: str
    name: str
    package: str
    version: str
    source: str
    about: About | None
    missing: tuple[str, ...] = ()


def find_plugins(package: str | None = None) -> list[Plugin]:
    """All of them by group and name; those of one distribution, where `package` names it."""
    found = [
        _plugin(group, entry)
        for group in GROUPS
        for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)
    ]
    return [each for each in found if package is None or each.package == package]


def _plugin(group: str, entry: EntryPoint) -> Plugin:
    package, version = ("unknown", "unknown") if entry.dist is None else (entry.dist.name, entry.dist.version)
    about, missing = None, list[str]()
    try:
        about = _about(entry.load())
    # what somebody else's module does on import is anything
    except Exception as error:
        reason = one_line(error)
        missing.append(f"it can't be loaded: {type(error).__name__}: {reason}")
    else:
        if about is None:
            missing.append("it doesn't say what it does: its class has no ABOUT")
        else:
            missing += _lacking(about, package)
    return Plugin(group, entry.name, package, version, entry.value, about, tuple(missing))


def _about(loaded: Any) -> About | None:
    about = getattr(loaded, "ABOUT", None)
    return about if isinstance(about, About) else None


def _lacking(about: About, package: str) -> Iterable[str]:
    modules = [name for name in about.modules if not _importable(name)]
    if modules:
        which = " and ".join(modules)
        whole = package if about.extra is None else f"{package}[{about.extra}]"
        yield f"the Python module {which} is not installed: pip install '{whole}'"
    for program in about.programs:
        if shutil.which(program) is None:
            yield f"the program {program} is not on this machine"


def _importable(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def markdown(plugins: Iterable[Plugin]) -> str:
    """The table of the documentation: nothing in it depends on the machine that writes it."""
    lines = ["| what | name | does | can't | needs |", "| --- | --- | --- | --- | --- |"]
    for each in plugins:
        about = each.about
        does, cannot = (about.does, about.cannot) if about else ("-", "-")
        cells = [GROUPS[each.group], f"`{each.name}`", does, cannot, _needs(about, each.package)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _needs(about: About | None, package: str) -> str:
    if about is None:
        return "-"
    extra = [f"`{package}[{about.extra}]`"] if about.extra else []
    return ", ".join([*extra, *(f"`{program}`" for program in about.programs)]) or "-"
