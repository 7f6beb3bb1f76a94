"""How a container is started at a Skaha, which takes little: one word, and arguments split at spaces.

It pastes both, and environment variables, into a template, between quotes that nothing escapes; it drops a
variable in whose value there is a "=", and mounts nothing where a user wants it. What can't be said so goes
into a script in the session's own directory, where Skaha's containers see what is staged for them.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from broker.model import Executable, ExecutableKind, Port

HEADLESS, NOTEBOOK, CONTRIBUTED = "headless", "notebook", "contributed"
# where Skaha expects the web server of a "contributed" image, and of a notebook's
CONTRIBUTED_PORT, NOTEBOOK_PORT = 5000, 8888
# Kubernetes takes 63 letters as a label and a host name
LONGEST_NAME = 63
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_WORD = re.compile(r"[!#%-\[\]-~]+")  # printable ASCII but space, quote, dollar sign and backslash
_VALUE = re.compile(r"[ !#%-<>-\[\]-~]+")  # with spaces, but no "="
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# set by Skaha after ours, which would be lost
_ITS_OWN = frozenset(
    {"HOME", "PWD", "OMP_NUM_THREADS", "skaha_hostname", "skaha_username", "skaha_sessionid"}
)
SCRIPT_NAME, EXIT_NAME = "run", "exit"
SHELL = "/bin/sh"


@dataclass(frozen=True)
class Unsayable:
    """A part of an executable that Skaha would change or lose; `reason` follows the site's name."""

    path: str
    reason: str


@dataclass(frozen=True)
class Bound:
    """How a container finds what is to be mounted: by links that a script makes, as (place, path), and by
    the real place instead of the path in its arguments and environment; `lost`: not at all."""

    links: tuple[tuple[str, str], ...] = ()
    instead: Mapping[str, str] | None = None
    lost: tuple[str, ...] = ()


def session_name(job_id: str) -> str:
    """The name of a job's session, by which it is found again: letters, digits and "-", in small letters."""
    name = f"fairlead-{job_id.lower()}"
    if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
        name = f"fairlead-{hashlib.sha256(job_id.encode(errors='surrogatepass')).hexdigest()[:40]}"
    return name


def session_type(executable: Executable) -> str:
    if executable.kind is ExecutableKind.NOTEBOOK:
        return NOTEBOOK
    return CONTRIBUTED if executable.ports else HEADLESS


def is_contributed(ports: Sequence[Port]) -> bool:
    """Whether a contributed session would publish just these ports."""
    return len(ports) == 1 and ports[0].internal == CONTRIBUTED_PORT and ports[0].protocol.startswith("HTTP")


def unsayable(executable: Executable) -> Sequence[Unsayable]:
    """What of a headless session's command and environment Skaha can't be told. No reason holds a value."""
    found = []
    if executable.entrypoint is not None and _WORD.fullmatch(executable.entrypoint) is None:
        reason = "takes an entrypoint of printable ASCII without spaces, quotes, $ and \\ alone"
        found.append(Unsayable("/executable/entrypoint", reason))
    for position, argument in enumerate(executable.command):
        if _WORD.fullmatch(argument) is None:
            reason = "splits arguments at spaces, and takes none that is empty or holds quotes, $, \\ "
            reason += "or letters beyond ASCII"
            found.append(Unsayable(f"/executable/command/{position}", reason))
            break
    for name, value in executable.environment.items():
        path = f"/executable/environment/{name}"
        if name in _ITS_OWN:
            found.append(Unsayable(path, f"sets the environment variable {name} itself"))
        elif _VARIABLE.fullmatch(name) is None:
            found.append(Unsayable(path, "takes no environment variable of that name"))
        elif _VALUE.fullmatch(value) is None:
            reason = (
                f"loses the environment variable {name}: its value is empty, or holds one of = quotes $ \\, "
            )
            found.append(Unsayable(path, reason + "a line's end or letters beyond ASCII"))
    return found


def scriptable(executable: Executable) -> Sequence[Unsayable]:
    """What not even a script can say."""
    found = []
    if executable.entrypoint is None:
        reason = (
            "can't know the image's own entrypoint: with one named, a script in its storage could say this"
        )
        found.append(Unsayable("/executable/entrypoint", reason))
    for name, value in executable.environment.items():
        if _VARIABLE.fullmatch(name) is None or "\0" in value or not _is_utf8(value):
            path = f"/executable/environment/{name}"
            found.append(Unsayable(path, "takes no environment variable of that name and value"))
    for position, word in enumerate((executable.entrypoint or "", *executable.command)):
        if "\0" in word or not _is_utf8(word):
            path = f"/executable/command/{position - 1}" if position else "/executable/entrypoint"
            found.append(Unsayable(path, "takes arguments of UTF-8 without zero bytes alone"))
    return found


def bound(
    executable: Executable, places: Mapping[str, str], links_below: Sequence[PurePosixPath], script: bool
) -> Bound:
    """How `executable` finds what is mounted at the paths of `places`, which are where it really lies.

    `script`: whether a script may start it, which can make links where containers may write.
    """
    links, instead, lost = [], {}, []
    for path, place in places.items():
        if path == place:
            continue
        if script and any(below in PurePosixPath(path).parents for below in links_below):
            links.append((place, path))
        elif _mentions(executable, path):
            instead[path] = place
        else:
            lost.append(path)
    return Bound(tuple(links), instead, tuple(lost))


def with_places(executable: Executable, instead: Mapping[str, str] | None) -> Executable:
    """The executable with real places in its arguments and environment, where those name mounts' paths."""
    if not instead:
        return executable
    return replace(
        executable,
        command=tuple(_placed(word, instead) for word in executable.command),
        environment={name: _placed(value, instead) for name, value in executable.environment.items()},
    )


def script_of(executable: Executable, links: Sequence[tuple[str, str]], exit_file: str) -> str:
    """The shell script that starts `executable` as it was asked for, and leaves its exit code in a file.

    As the container's first process it would get no signals by default: it hands SIGTERM on.
    """
    lines = [f"#!{SHELL}", "child= told="]
    for place, path in links:
        directory = shlex.quote(str(PurePosixPath(path).parent))
        lines.append(
            f"mkdir -p -- {directory} && ln -sfn -- {shlex.quote(place)} {shlex.quote(path)} || exit 125"
        )
    lines += [f"export {name}={shlex.quote(value)}" for name, value in executable.environment.items()]
    command = " ".join(map(shlex.quote, (executable.entrypoint or "", *executable.command)))
    new, file = shlex.quote(f"{exit_file}.new"), shlex.quote(exit_file)
    return "\n".join(
        [
            *lines,
            # before there is a child, so that no moment is left in which the signal would end this alone
            "trap 'told=1; kill -TERM $child 2>/dev/null' TERM INT",
            f"{command} &",
            "child=$!",
            '[ -z "$told" ] || kill -TERM "$child"',
            'wait "$child"; code=$?',
            'while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done',
            f'echo "$code" > {new} && mv -f -- {new} {file}',
            'exit "$code"',
            "",
        ]
    )


def parameters_of(
    name: str, kind: str, image: str, cores: int, memory_gib: int, executable: Executable
) -> list[tuple[str, str]]:
    """What is sent to create a session. Of interactive ones, Skaha starts what is in the image."""
    found = [
        ("name", name),
        ("image", image),
        ("type", kind),
        ("cores", str(cores)),
        ("ram", str(memory_gib)),
    ]
    if kind == HEADLESS:
        if executable.entrypoint is not None:
            found.append(("cmd", executable.entrypoint))
        if executable.command:
            found.append(("args", " ".join(executable.command)))
        found += [("env", f"{name}={value}") for name, value in executable.environment.items()]
    return found


def _placed(text: str, instead: Mapping[str, str]) -> str:
    for path in sorted(instead, key=len, reverse=True):
        text = _whole(path).sub(lambda _, place=instead[path]: place, text)  # type: ignore[misc]
    return text


def _mentions(executable: Executable, path: str) -> bool:
    return any(_whole(path).search(text) for text in (*executable.command, *executable.environment.values()))


def _whole(path: str) -> re.Pattern[str]:
    """`path` where it stands as a path of its own or begins one, and isn't a part of another name."""
    return re.compile(rf"(?<![A-Za-z0-9._/~+@-]){re.escape(path)}(?![A-Za-z0-9._~+@-])")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
