"""A session of the simulated Skaha: a Kubernetes job with its pod, here a process of this machine.

Where each rule is known from: see `simulator`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

HOST = "skaha.example.org"
# launch-headless.yaml: activeDeadlineSeconds, ttlSecondsAfterFinished; launch-notebook.yaml
HEADLESS_DEADLINE, HEADLESS_TTL, INTERACTIVE_TTL = 1_209_600, 3_600, 86_400
# K8SUtil.getSessionExpiry, the chart's default
SESSION_EXPIRY = 345_600
# pkg/kubelet/images/image_manager.go; the second figure since 1.27, the size since 1.30
PULLED = 'Successfully pulled image "{image}" in 1.5s (1m2.25s including waiting). Image size: 3000 bytes.'
# a pod's grace between SIGTERM and SIGKILL is 30 s in Kubernetes; here nobody waits for that
GRACE_SECONDS = 0.3


@dataclass
class Pod:
    """A session: a Kubernetes job with its pod, here a process."""

    id: str
    user: str
    name: str
    type: str
    image: str
    created: datetime
    cores: float
    memory_gib: float
    fixed: bool
    gpus: int
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    started: datetime | None = None
    ended: datetime | None = None
    deleted: datetime | None = None
    exit_code: int | None = None
    process: subprocess.Popen[bytes] | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)

    # PostAction.renew: from then on as long as at first
    renewed: datetime | None = None

    @property
    def deadline_seconds(self) -> float:
        if self.type == "headless":
            return HEADLESS_DEADLINE
        if self.renewed is None or self.started is None:
            return SESSION_EXPIRY
        return SESSION_EXPIRY + (self.renewed - self.started).total_seconds()

    @property
    def interactive(self) -> bool:
        return self.type not in ("headless", "desktop-app")

    def status(self, now: datetime, words: Mapping[str, str]) -> str:
        """SessionBuilder.withStatus. The OpenAPI document speaks of Succeeded and Error instead: `words` says
        what is said for what."""
        found = self._status(now)
        return words.get(found, found)

    def _status(self, now: datetime) -> str:
        self.look(now)
        if self.deleted is not None:
            return "Terminating"
        if self.ended is not None:
            return "Completed" if self.exit_code == 0 else "Failed"
        return "Pending" if self.started is None else "Running"

    def run(self, directory: Path, now: datetime) -> None:
        """The pod begins: as soon as it is made, unless it has to wait."""
        home = directory / "home" / self.user
        home.mkdir(parents=True, exist_ok=True)
        # launch-headless.yaml: these come after the user's own, and win
        own = {
            "skaha_hostname": HOST,
            "skaha_username": self.user,
            "skaha_sessionid": self.id,
            "HOME": str(home),
            "PWD": str(home),
            "OMP_NUM_THREADS": f"{self.cores:g}",
        }
        environment = {"PATH": os.environ["PATH"], **self.environment, **own}
        command = list(self.command)
        self.started = now
        self.events.append(("Normal", "Pulled", PULLED.format(image=self.image)))
        self.events.append(("Normal", "Started", f"Started container {self.id}"))
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=home,
                    start_new_session=True,
                )
            except OSError as error:
                self.events.append(
                    ("Warning", "Failed", f"Error: failed to start container: {error.strerror}")
                )
                self.ended, self.exit_code = now, 128

    def look(self, now: datetime) -> None:
        """What became of its process, and whether its deadline has passed (14 days, whatever was asked)."""
        if self.process is None or self.ended is not None or self.deleted is not None:
            return
        code = self.process.poll()
        if code is None and self.started and now - self.started > timedelta(seconds=self.deadline_seconds):
            self.kill(0.0)
            code = 137
            self.events.append(
                ("Warning", "DeadlineExceeded", "Job was active longer than specified deadline")
            )
        if code is not None:
            self.ended, self.exit_code = now, 128 - code if code < 0 else code
            if code:
                message = "Job has reached the specified backoff limit"  # backoffLimit: 0
                self.events.append(("Warning", "BackoffLimitExceeded", message))

    def kill(self, grace_seconds: float) -> None:
        """SIGTERM to all that it runs, then SIGKILL."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        # another thread may have seen its end meanwhile
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def shown(self, now: datetime, words: Mapping[str, str]) -> dict[str, Any]:
        """Session.java by Gson: what is null is left out, and figures are texts."""
        document: dict[str, Any] = {
            "id": self.id,
            "userid": self.user,
            "runAsUID": "1000",
            "runAsGID": "1000",
            "supplementalGroups": [],
            "image": self.image,
            "type": self.type,
            "status": self.status(now, words),
            "name": self.name,
            "connectURL": self.connect_url(),
            "requestedGPUCores": str(self.gpus),
            "isFixedResources": self.fixed,
        }
        if self.started is not None:
            document["startTime"] = f"{self.started:%Y-%m-%dT%H:%M:%SZ}"
            document["expiryTime"] = (
                f"{self.started + timedelta(seconds=self.deadline_seconds):%Y-%m-%dT%H:%M:%SZ}"
            )
        if self.fixed:
            document |= {"requestedRAM": f"{self.memory_gib:g}G", "requestedCPUCores": f"{self.cores:g}"}
        return document

    def connect_url(self) -> str:
        """SessionURLBuilder."""
        if self.type == "notebook":
            home = f"arc/home/{self.user}"
            return f"https://{HOST}/session/notebook/{self.id}/lab/tree/{home}?token={self.id}"
        if self.type == "contributed":
            return f"https://{HOST}/session/contrib/{self.id}/"
        return "not-applicable"
