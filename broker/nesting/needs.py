"""Which containers a request wants to make inside of its own, and whether a site is known to let it."""

from __future__ import annotations

from broker.model import Executable, Level, Note
from broker.nesting import KINDS, MEANING, VARIABLE, Attempt, Kind, Nesting, Trial
from broker.nesting.remedies import remedy

PATH = f"/executable/environment/{VARIABLE}"


def asks(executable: Executable) -> bool:
    return VARIABLE in executable.environment


def check_nesting(site_id: str, executable: Executable, known: Nesting | None) -> list[Note]:
    """Why `executable` can't make the containers at the site that it names (ERROR), and how it can (INFO).

    Empty where it names none. `known`: what was found out of the site; None: nothing.
    """
    words = [each.strip() for each in executable.environment.get(VARIABLE, "").split(",") if each.strip()]
    notes = []
    for word in words:
        if word not in KINDS:
            text = "{site} knows no container in a container called {word}: expected {expected}"
            values = {"site": site_id, "word": repr(word), "expected": ", ".join(KINDS)}
            notes.append(Note("nesting", text, values, path=PATH))
        elif known is None:
            text = "it isn't known whether containers at {site} can make others ({word}): "
            text += "its operator would run `fairlead site nesting {site} --image IMAGE`"
            notes.append(Note("nesting", text, {"site": site_id, "word": word}, path=PATH))
        else:
            notes.append(_check(site_id, executable.privileged, KINDS[word], known))
    return notes


def _check(site_id: str, privileged: bool, kind: Kind, known: Nesting) -> Note:
    trial = known.privileged if privileged else known.plain
    values = {"site": site_id, "kind": kind.value, "meaning": MEANING[kind], "day": f"{known.tried:%Y-%m-%d}"}
    values["whose"] = "privileged containers" if privileged else "containers"
    if isinstance(trial, str):
        text = "{site}: whether privileged containers can make others ({kind}) isn't known: {reason}"
        return Note("nesting", text, {**values, "reason": trial}, path=PATH)
    found = _attempt(trial, kind)
    if found.works:
        text = "in {whose} at {site} {kind} works ({meaning}), as tried on {day}"
        return Note("nesting", text, values, Level.INFO, PATH)
    values["said"] = found.said or f"exit code {found.exit_code}"
    if found.works is None:
        text = "{site}: whether {kind} works in its {whose} isn't known: on {day} {said}"
        return Note("nesting", text, values, path=PATH)
    text = "in {whose} at {site} {kind} doesn't work ({meaning}): on {day} it said: {said}"
    other = known.privileged
    if not privileged and not isinstance(other, str) and _attempt(other, kind).works:
        text += "; it works in privileged ones: ask for privileged"
    else:
        values["remedy"] = remedy(kind, found)
        text += "; its operator would {remedy}"
    return Note("nesting", text, values, path=PATH)


def _attempt(trial: Trial, kind: Kind) -> Attempt:
    return trial.attempts.get(kind) or Attempt(127, "it wasn't tried")
