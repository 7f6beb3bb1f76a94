"""A Skaha without Kubernetes: its rules, and its odd behaviours, with real processes as containers.

Each rule says where it is known from: a class of the server's source (opencadc/science-platform), its
OpenAPI document, a template of its chart, or what was MEASURED of the `canfar` client. Where versions differ,
both are there, and the newer one is the default.
"""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from federation.clock import Clock, SystemClock
from tests.skaha.pods import GRACE_SECONDS, HEADLESS_TTL, INTERACTIVE_TTL, Pod

TYPES = ("carta", "contributed", "desktop", "notebook", "headless", "desktop-app", "firefly")


class Refused(Exception):  # noqa: N818 - what the server answers
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Simulator:
    """One Skaha. `advance` turns its clock, which else is `clock`. Not for use by several threads at once."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self.directory = directory
        self._clock, self._shift = clock or SystemClock(), timedelta(0)
        self.pods: dict[str, Pod] = {}
        self.made: list[str] = []  # the names of all that there ever were
        # SkahaAction.initRequest: 401 without a known user, 403 for one who isn't in the users' group
        self.tokens = {"tok123": "ann"}
        self.outsiders: set[str] = set()
        self.hosts = ["images.canfar.net"]
        self.images: list[dict[str, Any]] = [
            _image("images.canfar.net/skaha/terminal:1.1.2", "headless", "desktop-app"),
            _image("images.canfar.net/skaha/astroml:26.11", "notebook", "headless"),
            _image("images.canfar.net/skaha/vscode:1.0", "contributed"),
        ]
        # of the registry, for images that the list doesn't have
        self.registry_auth = "robot:hunter2"
        self.private_images = {"images.canfar.net/private/tool:1"}
        # k8s-resources.json of the chart
        self.core_options = list(range(1, 17))
        self.memory_options = [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 26, 28, 30, 32, 36, 40, 44, 48, 56, 64]
        self.max_interactive = 3
        self.capacity = (960.0, 3840.0)
        self.others = (377.0, 1508.0)  # what other users have asked for
        self.metrics_up = True
        self.full = False  # Kueue has no room: a new job stays suspended
        self.delete_unknown = 404  # older versions: 200
        self.words: dict[str, str] = {}  # other versions' words for statuses
        self.hidden: set[str] = set()  # sessions that the informer's cache doesn't have yet

    def now(self) -> datetime:
        return self._clock.now() + self._shift

    def advance(self, seconds: float) -> None:
        self._shift += timedelta(seconds=seconds)

    def close(self) -> None:
        """Nothing that was started outlives a test."""
        for pod in self.pods.values():
            pod.kill(0.0)

    # GET image, context, repository

    def image_list(self, kind: str | None) -> list[dict[str, Any]]:
        """image/GetAction: what a cron job found in Harbor: public, tagged and labelled; labels are types."""
        return [image for image in self.images if kind is None or kind in image["types"]]

    def context(self) -> dict[str, Any]:
        """context/GetAction writes k8s-resources.json as it is; `maxInteractiveSessions` beside it."""
        return {
            "cores": {"default": 2, "defaultRequest": 1, "defaultLimit": 8, "options": self.core_options},
            "memoryGB": {
                "default": 8,
                "defaultRequest": 4,
                "defaultLimit": 32,
                "options": self.memory_options,
            },
            "gpus": {"options": [1, 2, 4]},
            "maxInteractiveSessions": self.max_interactive,
        }

    # sessions

    def stats(self) -> dict[str, Any]:
        """session/GetAction and PlatformMetricsMapper. "Available" is all that the cluster has, not what is
        free of it (CONTEXT.md); RAM is a text with a G that means GiB (ResourceQuantityFormatter)."""
        if not self.metrics_up:
            raise Refused(503, "platform metrics unavailable")  # PlatformMetricsUnavailableException
        pods = [pod for pod in self._alive() if pod.ended is None]
        cores = self.others[0] + sum(pod.cores for pod in pods)
        memory = self.others[1] + sum(pod.memory_gib for pod in pods)
        kinds = [pod.type for pod in pods if pod.started is not None]
        return {
            "instances": {
                "session": len([kind for kind in kinds if kind not in ("headless", "desktop-app")]),
                "desktopApp": kinds.count("desktop-app"),
                "headless": kinds.count("headless"),
                "total": len(kinds),
            },
            "cores": {
                "requestedCPUCores": cores,
                "cpuCoresAvailable": self.capacity[0],
                "maxCPUCores": {"cpuCores": 8.0, "withRam": "32G"},
            },
            "ram": {
                "requestedRAM": f"{memory:g}G",
                "ramAvailable": f"{self.capacity[1]:g}G",
                "maxRAM": {"ram": "32G", "withCPUCores": 8.0},
            },
        }

    def list_sessions(
        self, user: str, kind: str | None, status: str | None, everybody: bool
    ) -> list[dict[str, Any]]:
        """session/GetAction.listSessions. Of all users, little is told (PublicSession)."""
        found = []
        for pod in self._alive():
            said = pod.status(self.now(), self.words)
            if pod.id in self.hidden or (not everybody and pod.user != user):
                continue
            if (kind is not None and pod.type != kind) or (status is not None and said != status):
                continue
            shown = pod.shown(self.now(), self.words)
            keys = ("userid", "type", "status", "startTime")
            found.append({key: shown[key] for key in keys if key in shown} if everybody else shown)
        return found

    def get_session(self, user: str, session_id: str) -> dict[str, Any]:
        return self._mine(user, session_id).shown(self.now(), self.words)

    def logs(self, user: str, session_id: str) -> bytes:
        """SessionAction.streamPodLogs: `kubectl logs` by label: nothing there is no error, and all of it is
        sent each time, standard error among it."""
        self._alive()
        pod = self.pods.get(session_id)
        if pod is None or pod.user != user or not pod.log.exists():
            return b""
        return pod.log.read_bytes()

    def event_text(self, user: str, session_id: str) -> str:
        """SessionAction.getEvents: kubectl's columns under a heading; empty where there are none."""
        pod = self._mine(user, session_id)
        if not pod.events:
            return ""
        at = f"{pod.created:%Y-%m-%dT%H:%M:%SZ}"
        rows = [("TYPE", "REASON", "MESSAGE", "FIRST-TIME", "LAST-TIME")]
        rows += [(kind, reason, message, at, at) for kind, reason, message in pod.events]
        widths = [max(len(row[column]) for row in rows) + 3 for column in range(5)]
        lines = ["".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)

    def create(self, user: str, given: Mapping[str, Sequence[str]], registry: str | None) -> str:
        """session/PostAction.doAction; parameters may be in the query or in the body (SyncInput)."""
        first: Callable[[str], str | None] = lambda name: next(iter(given.get(name, ())), None)  # noqa: E731
        image, name = first("image"), first("name")
        kind = first("type") or "headless"  # left out: headless
        if image is None:
            raise Refused(400, "Missing parameter 'image'")
        if kind not in TYPES:
            raise Refused(400, f"Invalid session type: {kind}")
        self._check_image(image, registry)
        cores = _option(first("cores"), "cores", self.core_options)
        memory = _option(first("ram"), "ram", self.memory_options)
        if name is None:
            raise Refused(400, "Missing parameter 'name'")
        if not re.fullmatch(r"[A-Za-z0-9\-]+", name):  # PostAction.validateName
            raise Refused(400, "name can only contain alpha-numeric chars and '-'")
        if len(name) > 63 or name[0] == "-" or name[-1] == "-":
            raise Refused(500, "Error executing command: [kubectl, create, ...] Error: invalid label value")
        self._check_count(user, kind)
        gpus = _option(first("gpus"), "gpus", [1, 2, 4]) or 0
        command, environment = self._started_with(kind, first("cmd"), first("args"), given.get("env", ()))
        session_id = "".join(random.choices(string.ascii_lowercase + string.digits, k=8))
        pod = Pod(
            session_id,
            user,
            name.lower(),  # the label is in small letters
            kind,
            image,
            self.now(),
            # both given: request and limit are the same; else "flexible": request 1 core, 4 GiB
            float(cores or 1),
            float(memory or 4),
            cores is not None and memory is not None,
            gpus,
            command,
            environment,
            self.directory / f"{session_id}.log",
        )
        self.pods[session_id] = pod
        self.made.append(pod.name)
        if image in self.private_images and _decoded(registry) != self.registry_auth:
            # the header is only decoded; whether it is right shows when the kubelet pulls
            message = f'Failed to pull image "{image}": unauthorized to access repository'
            pod.events += [("Warning", "Failed", message), ("Warning", "Failed", "Error: ImagePullBackOff")]
        elif self.full:
            message = "0/12 nodes are available: 12 Insufficient cpu"
            pod.events.append(("Warning", "FailedScheduling", message))
        else:
            pod.run(self.directory, self.now())
        return session_id

    def delete(self, user: str, session_id: str) -> None:
        """session/DeleteAction: another's: 403; unknown: 404, in older versions logged alone and 200."""
        self._alive()
        pod = self.pods.get(session_id)
        if pod is None:
            if self.delete_unknown == 404:
                raise Refused(404, session_id)
            return
        if pod.user != user:
            raise Refused(403, "forbidden")
        if pod.deleted is None:
            pod.kill(GRACE_SECONDS)
            pod.deleted = self.now()

    def renew(self, user: str, session_id: str) -> None:
        """PostAction.renew: only a job that is active."""
        pod = self._mine(user, session_id)
        if pod.ended is not None or pod.deleted is not None:
            raise Refused(400, f"No active job for user {user} with session {session_id}")
        pod.renewed = self.now()

    # inside

    def _check_image(self, image: str, registry: str | None) -> None:
        """PostAction.validateImage: the type is not compared with the image's."""
        if image.partition("/")[0] not in self.hosts:
            raise Refused(400, f"image not in a trusted repository: {image}")
        if any(listed["id"] == image for listed in self.images):
            return
        if not registry:
            text = "No authentication provided for unknown or private image.  Use x-skaha-registry-auth "
            raise Refused(400, text + "request header with base64Encode(username:secret).")
        # ImageRegistryAuth.fromEncoded: split(":") must give two
        if len((_decoded(registry) or "").split(":")) != 2:
            raise Refused(400, "Invalid input.  Must be in form of username:secret")

    def _check_count(self, user: str, kind: str) -> None:
        """PostAction.checkExistingSessions: headless ones are never counted."""
        if kind == "headless":
            return
        over = ("Terminating", "Completed", "Failed")
        mine = [pod for pod in self._alive() if pod.user == user and pod.interactive]
        if len([pod for pod in mine if pod.status(self.now(), {}) not in over]) >= self.max_interactive:
            text = f"User {user} has reached the maximum of {self.max_interactive} active sessions."
            raise Refused(400, text)

    def _started_with(
        self, kind: str, cmd: str | None, args: str | None, envs: Sequence[str]
    ) -> tuple[list[str], dict[str, str]]:
        """PostAction.getHeadlessImageBundle: pasted between the quotes of a YAML template by replaceAll."""
        if kind != "headless":
            # Skaha starts what the image has; here something that stays
            return ["sleep", "600"], {}
        # Java's split drops what is empty at the end, and keeps it elsewhere
        words = [] if args is None else re.sub(r" +$", "", args).split(" ")
        environment = {}
        for env in envs:
            parts = env.split("=")
            while parts and parts[-1] == "":
                parts.pop()
            if len(parts) == 2:  # else: log.debug("invalid key/value env var") and nothing more
                environment[parts[0]] = parts[1]
        for text in (cmd or "", *words, *environment.values()):
            # "$" is a group reference to replaceAll, and the rest ends the YAML text or escapes in it
            if re.search(r'["\\$\n]', text):
                raise Refused(500, "unexpected failure: Illegal group reference")
        command = [*([cmd] if cmd else []), *words]
        return command or ["true"], environment

    def _alive(self) -> list[Pod]:
        """What is not forgotten yet: a finished job is when its time to live is over, a deleted one when it
        has been Terminating for a moment."""
        for pod in list(self.pods.values()):
            pod.look(self.now())
            ttl = HEADLESS_TTL if pod.type == "headless" else INTERACTIVE_TTL
            ended, deleted, now = pod.ended, pod.deleted, self.now()
            gone = deleted is not None and now - deleted > timedelta(seconds=GRACE_SECONDS)
            if gone or (ended is not None and now - ended > timedelta(seconds=ttl)):
                self._forget(pod)
        return list(self.pods.values())

    def _forget(self, pod: Pod) -> None:
        pod.kill(0.0)
        pod.log.unlink(missing_ok=True)
        del self.pods[pod.id]

    def _mine(self, user: str, session_id: str) -> Pod:
        pods = {pod.id: pod for pod in self._alive()}
        pod = pods.get(session_id)
        if pod is None or pod.user != user or pod.id in self.hidden:
            raise Refused(404, f"session {session_id} not found")
        return pod


def _image(name: str, *types: str) -> dict[str, Any]:
    digest = base64.b16encode(name.encode()).decode().lower().ljust(64, "0")[-64:]
    return {"id": name, "types": list(types), "digest": f"sha256:{digest}"}


def _option(text: str | None, name: str, options: Sequence[int]) -> int | None:
    """PostAction.getCoresParam and the like: an option of the context, or 400."""
    if text is None:
        return None
    if not text.isdigit() or int(text) not in options:
        raise Refused(400, f"Invalid value for '{name}': {text}")
    return int(text)


def _decoded(registry: str | None) -> str | None:
    try:
        return None if registry is None else base64.b64decode(registry).decode()
    except ValueError:
        return None
