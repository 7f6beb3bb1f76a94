"""What runs on a session's server, as its user data: brings data and image, runs the container, tells.

Standard library, the mover, and what writes lines on the console. Nobody can reach the server: all that it
says goes to its console, which the cloud's API shows to the broker. URLs, environment and output of its own
are never written there, but for the container's. What the container wrote goes to an object store.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from broker.platforms import openstack_lines, openstack_sending

CONSOLE = "/dev/console"
REPORT_SECONDS = 20.0
# of each output: in the end, and while it runs
END_BYTES, RUNNING_BYTES = 64 * 1024, 2 * 1024
# Nova shows the last 100 KiB of a console with most hypervisors: a report has to fit, beside what others say
CONSOLE_BYTES = 80 * 1024
OUTPUTS = ("stdout", "stderr")
KILLED, FAILED, TERMINATED = 137, 125, 143
GRACE_SECONDS = 10
BLOCK_BYTES = 1024 * 1024


class FailedError(Exception):
    """The container can't be run; one line that says why, for the client."""


class Agent:
    """`plan` is `openstack_user_data.Plan`'s document; `archive` holds the mover's modules."""

    def __init__(self, plan: dict[str, Any], archive: str) -> None:
        self.plan, self.archive = plan, archive
        self.root = Path(plan["root"])
        self.engine: list[str] = plan["engine"]
        self.number, self.said_at, self.ended_at = 0, 0.0, -math.inf
        self.child: subprocess.Popen[bytes] | None = None
        self.is_container = self.is_stopped = False
        # what forecasts learn from, told with all that is said after it
        self.learnt: dict[str, Any] = {}

    def run(self) -> None:
        """Until somebody ends it: what came of the container is said again and again."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        end: dict[str, Any] = {"step": "end", "exit_code": None}
        try:
            self.say({"step": "data"})
            self.prepare()
            self.bring_data()
            end |= self.run_container(self.bring_image())
            end |= self.send_results()
        except FailedError as failed:
            end["problem"] = str(failed)
        except Exception as error:
            # its text could hold a URL
            end["problem"] = f"the server failed: {type(error).__name__}"
        if self.is_stopped and end["exit_code"] is None:
            end |= {"exit_code": TERMINATED, "problem": None}
        self.number += 1
        end = self.fitting({**end, **self.learnt})
        while True:
            self.write(end)
            if self.is_stopped:
                return
            time.sleep(REPORT_SECONDS)

    def stop(self) -> None:
        """The server is to halt."""
        self.is_stopped = True
        if self.child is None:
            return
        self.ended_at = time.monotonic()
        if not self.is_container:
            self.child.terminate()
        else:
            halt = ("stop", "--time", str(GRACE_SECONDS), self.plan["container"])
            subprocess.Popen([*self.engine, *halt], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def say(self, report: dict[str, Any]) -> None:
        self.number += 1
        self.write({**report, **self.learnt})

    def lines(self, report: dict[str, Any]) -> list[str]:
        return openstack_lines.written(self.plan["word"], self.number, report)

    def fitting(self, end: dict[str, Any]) -> dict[str, Any]:
        """With as much of the ends of both outputs as the console has room for."""
        size_bytes, outputs = END_BYTES, [name for name in OUTPUTS if name in end]
        while sum(len(line) + 1 for line in self.lines(end)) > CONSOLE_BYTES:
            size_bytes //= 2
            cut = {name: end[name].encode()[-size_bytes:].decode(errors="ignore") for name in outputs}
            end = {**end, **cut}
        return end

    def write(self, report: dict[str, Any]) -> None:
        lines = self.lines(report)
        self.said_at = time.monotonic()
        try:
            console = os.open(CONSOLE, os.O_WRONLY | os.O_NOCTTY | os.O_APPEND)
            try:
                for line in lines:
                    os.write(console, f"{line}\n".encode())
            finally:
                os.close(console)
        except OSError:
            pass  # said again later

    def prepare(self) -> None:
        if shutil.which(self.engine[0]) is None:
            raise FailedError(f"the servers' image has no {self.engine[0]}")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.plan["storages"]:
            Path(path).mkdir(parents=True, exist_ok=True)
            # the container's user may be anybody
            Path(path).chmod(0o777)
        if self.plan["environment"]:
            write_private(self.root / "environment", self.plan["environment"])

    def bring_data(self) -> None:
        files = self.plan["files"]
        if not files:
            return
        for file in files:
            Path(file["path"]).parent.mkdir(parents=True, exist_ok=True)
        listed = self.root / "files.json"
        write_private(listed, json.dumps(files))
        size_bytes = sum(file["size_bytes"] or 0 for file in files)
        move = [sys.executable, "-m", "netprobe.mover", "fetch-all", str(listed)]
        move += ["--allow", json.dumps(self.plan["allowed"])]

        def progress(said: Tail) -> dict[str, Any]:
            return {"step": "data", "bytes": last_line(said).get("bytes", 0), "size_bytes": size_bytes}

        environment = {**os.environ, "PYTHONPATH": self.archive}
        began = time.time()
        code, stdout, _ = self.call(move, lambda out, _: progress(out), environment=environment)
        listed.unlink()
        if code != 0:
            raise FailedError(f"data: {last_line(stdout).get('error') or 'the mover failed'}")
        seconds = {name: group["seconds"] for name, group in last_line(stdout).get("groups", {}).items()}
        sizes = [Path(file["path"]).stat().st_size for file in files]
        self.learnt["came"] = {"began": began, "sizes": sizes, "seconds": seconds}
        for path, (algorithm, expected) in self.plan["checksums"].items():
            got = digest(Path(path), algorithm)
            if got != expected.lower():
                found = f"expected {algorithm}:{expected}, got {algorithm}:{got}"
                raise FailedError(f"data: {Path(path).name}: wrong checksum: {found}")

    def bring_image(self) -> str:
        """The image's id, once it is here."""
        said = []
        for name in self.plan["names"]:
            image, seconds = self.find(name), 0.0
            if image is None and name not in self.plan["local"]:
                pull = [*self.engine, "pull", "--quiet", *self.plan["platform"], name]
                limit, began = self.plan["pull_seconds"], time.monotonic()
                code, _, stderr = self.call(pull, lambda *_: {"step": "image"}, limit)
                if code != 0:
                    said.append(f"{name}: {stderr.line() or f'not pulled within {limit:g} s'}")
                    continue
                image, seconds = self.find(name), time.monotonic() - began
            if image is not None:
                self.learnt["pulled"] = seconds
                return image
            digest = self.plan["digest"]
            said.append(f"{name}: {f'expected digest {digest}' if digest else 'it is not there'}")
        raise FailedError(f"the image can't be had: {'; '.join(said)}")

    def find(self, name: str) -> str | None:
        end = subprocess.run([*self.engine, "image", "inspect", name], capture_output=True, check=False)
        if end.returncode != 0:
            return None
        image = json.loads(end.stdout)[0]
        known = {each.rpartition("@")[2] for each in image.get("RepoDigests") or ()}
        known |= {image.get("Digest"), f"sha256:{image['Id'].rpartition(':')[2]}"}
        return str(image["Id"]) if self.plan["digest"] in (None, *known) else None

    def run_container(self, image: str) -> dict[str, Any]:
        plan = self.plan
        command = [*self.engine, "run", "--name", plan["container"], "--pull", "never", *plan["run"]]
        if plan["memory_bytes"] is not None:
            # the system of the server lives on the same memory
            memory = str(min(plan["memory_bytes"], available_bytes()))
            command += ["--memory", memory, "--memory-swap", memory]
        self.is_container = True
        code, stdout, stderr = self.call(
            [*command, image, *plan["command"]],
            lambda out, err: {
                "step": "run",
                "stdout": out.text(RUNNING_BYTES),
                "stderr": err.text(RUNNING_BYTES),
            },
            plan["seconds"],
        )
        state = [*self.engine, "inspect", "--type", "container", "--format", "{{.State.OOMKilled}}"]
        asked = subprocess.run([*state, plan["container"]], capture_output=True, check=False)
        if code == FAILED and asked.returncode != 0:
            raise FailedError(f"the container can't be started: {stderr.line()}")
        end = {"exit_code": code, "stdout": stdout.text(END_BYTES), "stderr": stderr.text(END_BYTES)}
        if code == KILLED and asked.stdout.strip() == b"true":
            end["problem"] = "it wanted more memory than its server had"
        return end

    def send_results(self) -> dict[str, Any]:
        """Where the object store has what the container wrote; empty where that isn't kept."""
        told = self.plan["results"]
        if told is None:
            return {}
        self.said_at = 0.0

        def progress(sent: int, size: int) -> None:
            if time.monotonic() - self.said_at >= REPORT_SECONDS:
                self.say({"step": "results", "bytes": sent, "size_bytes": size})

        try:
            return {"results": openstack_sending.send(told, progress)}
        except openstack_sending.SendError as error:
            raise FailedError(f"what it wrote can't be kept: {error}") from error

    def call(
        self,
        command: Sequence[str],
        report: Callable[[Tail, Tail], dict[str, Any]],
        limit_seconds: float | None = None,
        environment: dict[str, str] | None = None,
    ) -> tuple[int, Tail, Tail]:
        """Its exit code and the ends of what it wrote; `report` is said while it runs, now and then."""
        if self.is_stopped:
            raise FailedError("it was stopped")
        began = time.monotonic()
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment}
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **pipes)
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        stdout, stderr = Tail(self.child.stdout), Tail(self.child.stderr)
        over, self.said_at = False, 0.0  # what begins is told at once
        while True:
            try:
                code = self.child.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                pass
            now = time.monotonic()
            over = over or (limit_seconds is not None and now - began > limit_seconds)
            # again where it was told before there was anything to end
            if (over or self.is_stopped) and now - self.ended_at > GRACE_SECONDS + 2:
                self.end_child()
            if time.monotonic() - self.said_at >= REPORT_SECONDS:
                self.say(report(stdout, stderr))
        stdout.thread.join()
        stderr.thread.join()
        self.child = None
        return code, stdout, stderr

    def end_child(self) -> None:
        stopped = self.is_stopped
        self.stop()
        self.is_stopped = stopped


class Tail:
    """Reads a pipe to its end; what came last is kept."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.kept = b""
        self.thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self.thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        while block := os.read(pipe.fileno(), 65536):
            self.kept = (self.kept + block)[-END_BYTES:]
        pipe.close()

    def text(self, size_bytes: int) -> str:
        return self.kept[-size_bytes:].decode(errors="replace")

    def line(self) -> str:
        """The last line, of those that say something."""
        lines = [line.strip() for line in self.text(4096).splitlines() if line.strip()]
        return lines[-1][-400:] if lines else ""


def last_line(said: Tail) -> dict[str, Any]:
    """What the mover said last."""
    for line in reversed(said.text(END_BYTES).splitlines()):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict) and document.keys() & {"bytes", "error", "groups"}:
            return document
    return {}


def digest(path: Path, algorithm: str) -> str:
    """As `staging.digest`, which needs more than a server has."""
    adler32, hasher = 1, None if algorithm == "adler32" else hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            if hasher is None:
                adler32 = zlib.adler32(block, adler32)
            else:
                hasher.update(block)
    return f"{adler32:08x}" if hasher is None else hasher.hexdigest()


def available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise FailedError("how much memory the server has can't be read")


def write_private(path: Path, text: str) -> None:
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
