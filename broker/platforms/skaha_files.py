"""A job's directory in the storage of a Skaha's containers: on this machine, and as containers have it."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from broker.model import Executable, Job
from broker.platforms import PlatformError, results
from broker.platforms.places import REMOVE_SECONDS, job_directory, removal, storage_path, write_private
from broker.platforms.podman_images import as_oci
from broker.platforms.skaha_check import top_paths
from broker.platforms.skaha_launch import (
    EXIT_NAME,
    SCRIPT_NAME,
    SHELL,
    bound,
    script_of,
    scriptable,
    unsayable,
    with_places,
)
from broker.platforms.skaha_options import Options
from broker.platforms.staging import make_job_directory
from netprobe.tools import _process


class Files:
    """Raises PlatformError where something can't be done, such as anything without the option staging."""

    def __init__(self, site_id: str, options: Options) -> None:
        self._site_id, self._options = site_id, options

    @property
    def root(self) -> Path:
        if self._options.staging is None:
            raise self._error("nothing can be brought into the storage of its containers: it has no staging")
        return self._options.staging

    def there(self, host_path: Path) -> str:
        """A path below `root` as containers have it."""
        root = self.root
        assert self._options.staging_there is not None
        try:
            return str(self._options.staging_there / PurePosixPath(host_path).relative_to(root))
        except ValueError:
            raise self._error(f"{host_path} was brought to another directory than {root}") from None

    def make_storage(self, job_id: str, name: str) -> Path:
        path = storage_path(self.root, job_id, name)
        try:
            make_job_directory(self.root, job_id)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise self._error(f"{path}: {problem.strerror or problem}") from problem
        return path

    def sayable(self, job: Job) -> Executable:
        """The job's executable as Skaha can be told it: started by a script of ours where it can't."""
        executable = as_oci(job.executable)
        places = {path: self.there(Path(host_path)) for host_path, path, _ in job.binds}
        self._link_below(job, places)
        top_places = {path: places[path] for path in top_paths(list(places))}
        can_script = self._options.staging is not None and not scriptable(executable)
        found = bound(executable, top_places, self._options.links_below, can_script)
        if found.lost:
            raise self._error(f"nothing can be mounted at {', '.join(found.lost)}")
        executable = with_places(executable, found.instead)
        said = unsayable(executable)
        if not found.links and not said:
            return executable
        if not can_script:
            raise self._error(f"Skaha {said[0].reason}")
        return self._scripted(job, executable, found.links)

    def _scripted(self, job: Job, executable: Executable, links: Sequence[tuple[str, str]]) -> Executable:
        directory = job_directory(self.root, job.id)
        text = script_of(executable, links, self.there(directory / EXIT_NAME))
        try:
            make_job_directory(self.root, job.id)
            write_private(directory / SCRIPT_NAME, text)
        except OSError as problem:
            raise self._error(f"{directory}: {problem.strerror}") from problem
        script = self.there(directory / SCRIPT_NAME)
        return Executable(executable.name, executable.locations, entrypoint=SHELL, command=(script,))

    def _link_below(self, job: Job, places: dict[str, str]) -> None:
        """What is to appear inside a storage is linked from there, where it is the storage's own name."""
        by_path = {path: host_path for host_path, path, _ in job.binds}
        for path, place in places.items():
            above, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
            if above not in by_path:
                continue
            try:
                # not by its path: a container that ran before may have put a link in the storage's place
                directory = os.open(by_path[above], results.DIRECTORY)
                try:
                    os.symlink(place, name, dir_fd=directory)
                finally:
                    os.close(directory)
            except FileExistsError:
                continue
            except OSError as problem:
                raise self._error(f"{path} can't be linked: {problem.strerror}") from problem

    def exit_code(self, job_id: str) -> int | None:
        """What the job's script left. The container may have put anything in its place."""
        if self._options.staging is None:
            return None
        file = job_directory(self.root, job_id) / EXIT_NAME
        try:
            found = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                text = os.read(found, 16) if stat.S_ISREG(os.fstat(found).st_mode) else b""
            finally:
                os.close(found)
            code = int(text)
        except (OSError, ValueError):
            return None
        return code if 0 <= code <= 255 else None

    async def remove(self, job_id: str, keep: Collection[str]) -> None:
        """All that is there of the job but the storages in `keep`."""
        if self._options.staging is None:
            return
        try:
            left = results.all_but(self.root, job_id, keep)
            if not left:
                return
            end = await _process.run(removal(left), REMOVE_SECONDS)
        except OSError as problem:
            raise self._error(f"what the job left can't be removed: {problem.strerror}") from problem
        if end.returncode != 0:
            reason = f"not done within {REMOVE_SECONDS:g} s" if end.timed_out else end.complaint
            raise self._error(f"what the job left can't be removed: {reason}")

    def _error(self, text: str) -> PlatformError:
        return PlatformError(f"site {self._site_id}: {text}")
