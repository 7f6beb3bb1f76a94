"""A notebook for platforms that run containers: the operator's own image, with the user's notebook in it.

The image, how it is started, and where it serves the notebook are options of the platform. A notebook's
directory is writable while it runs, and goes with the session: what is to stay belongs in a storage.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from broker.file_names import plain_name
from broker.model import DataItem, Executable, ExecutableKind, Job, MountMode, Note, Port, Replica
from broker.platforms import Progress, Staged
from broker.platforms.places import data_path, job_directory, write_private
from federation.errors import InputError
from netprobe.cost import Move
from netprobe.forecast import from_outside
from netprobe.quantiles import Quantiles

# in notebook_command and notebook_path "{port}", "{directory}" and "{notebook}" (a file name) are replaced
OPTIONS: Mapping[str, Any] = {
    "notebook_image": None,  # notebooks are refused without
    "notebook_command": [
        "jupyter",
        "lab",
        "--ip=0.0.0.0",
        "--port={port}",
        "--no-browser",
        "--allow-root",
        "--ServerApp.root_dir={directory}",
    ],
    "notebook_port": 8888,
    "notebook_path": "/lab/tree/{notebook}",
}
DIRECTORY = "/notebook"
# a platform's `stage`
Stage = Callable[[str, Sequence[tuple[DataItem, Move]], Progress], Awaitable[Staged]]
# where Jupyter looks for the word that lets the user in; on its command line everybody could read it
TOKEN_VARIABLE = "JUPYTER_TOKEN"
# a notebook is small, and nothing is known of the way to it
SECONDS = Quantiles(0.5, 5.0, 60.0)


def check_options(site_id: str, options: Mapping[str, Any]) -> None:
    """Raises InputError where the options on notebooks are wrong."""
    where = f"site {site_id!r}: option"
    if not all(isinstance(part, str) for part in options["notebook_command"]):
        got = options["notebook_command"]
        raise InputError(f"{where} 'notebook_command': expected a list of texts, got {got!r}")
    if not 0 < options["notebook_port"] < 65536:
        raise InputError(f"{where} 'notebook_port': expected 1 to 65535, got {options['notebook_port']}")


def is_notebook(executable: Executable) -> bool:
    return executable.kind is ExecutableKind.NOTEBOOK


def check_notebook(site_id: str, executable: Executable, options: Mapping[str, Any]) -> Sequence[Note]:
    """Why the site can't run this notebook; whether it has the image is another question."""
    if options["notebook_image"] is None:
        text = "{site} runs no notebooks: its operator would set the platform's option notebook_image"
        return [Note("notebook-image", text, {"site": site_id}, path="/executable")]
    if not executable.locations or not executable.locations[0].startswith(("http://", "https://")):
        text = "the notebook's location is no URL: expected http://... or https://..."
        return [Note("notebook-location", text, path="/executable/location")]
    return []


def as_container(executable: Executable, options: Mapping[str, Any]) -> Executable:
    """The container that shows the notebook, but for its token; without an image where the site has none."""
    name = notebook_name(executable)
    port, words = options["notebook_port"], {"notebook": name, "directory": DIRECTORY}
    command = [_filled(part, {**words, "port": str(port)}) for part in options["notebook_command"]]
    path = _filled(options["notebook_path"], {**words, "port": str(port), "notebook": quote(name)})
    return replace(
        executable,
        kind=ExecutableKind.DOCKER,
        locations=() if options["notebook_image"] is None else (options["notebook_image"],),
        command=tuple(command),
        ports=(Port(port, "HTTP", path, access=True),),
    )


def as_job(root: Path, job: Job, options: Mapping[str, Any]) -> Job:
    """The job whose container shows the notebook, with its token. Raises OSError: it was not handed over."""
    container = as_container(job.executable, options)
    token = _token_file(root, job).read_text(encoding="ascii")
    port = container.ports[0]
    container = replace(
        container,
        environment={**container.environment, TOKEN_VARIABLE: token},
        ports=(replace(port, path=f"{port.path}?token={token}"),),
    )
    directory = data_path(root, job.id, notebook_item(job.executable)).parent
    bind = (str(directory), DIRECTORY, MountMode.READWRITE)
    return replace(job, executable=container, binds=(*job.binds, bind))


def notebook_item(executable: Executable) -> DataItem:
    """The notebook's file as something that can be staged."""
    url = executable.locations[0]
    return DataItem("notebook", notebook_name(executable), None, (Replica(url, None),))


def notebook_move(executable: Executable, site_id: str) -> Move:
    return Move("notebook", executable.locations[0], None, site_id, 0, SECONDS, from_outside(site_id))


def notebook_name(executable: Executable) -> str:
    """The notebook's file name; of letters, digits and `._+=@-` alone."""
    url = executable.locations[0] if executable.locations else ""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    return plain_name(name or "notebook.ipynb")


def hand_over(root: Path, job: Job, path: Path) -> None:
    """Let whoever the image runs as change the notebook at `path`, and make its token. Raises OSError.

    The job's directory keeps others of this machine out. The token stays the same, also after a restart.
    """
    path.chmod(0o666)
    path.parent.chmod(0o777)
    write_private(_token_file(root, job), secrets.token_hex(24))


async def bring(root: Path, job: Job, site_id: str, stage: Stage) -> None:
    """Fetch the notebook, once only: the container may have put a link to a file of ours in its place since.

    Raises OSError, and what `stage` does.
    """
    if is_there(root, job):
        return
    item = notebook_item(job.executable)
    staged = await stage(job.id, [(item, notebook_move(job.executable, site_id))], lambda size: None)
    hand_over(root, job, staged.paths[item.uuid])


def is_there(root: Path, job: Job) -> bool:
    """Whether the notebook was handed over. Looks at nothing that a container can touch."""
    return _token_file(root, job).exists()


def _token_file(root: Path, job: Job) -> Path:
    return job_directory(root, job.id) / "notebook-token"


def _filled(text: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", value)
    return text
