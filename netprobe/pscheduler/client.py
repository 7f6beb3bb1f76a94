"""The calls that it takes to have a pScheduler node run one test: post a task, follow its run, delete it."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from federation.errors import InputError, one_line
from federation.http_asking import UnreadableError, whole_async
from federation.http_words import in_words

CONNECT_SECONDS = 5.0
# of one answer as a whole: a node that drips is not waited for
ANSWER_SECONDS = 30.0
ANSWER_BYTES = 64 * 2**20
# of an error's text, which may be a page
_MOST_TEXT = 300


class NodeError(Exception):
    """The node can't be reached, refuses, or answers what can't be understood. The text is one line.

    `status` is that of HTTP, None where there was no answer.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class Node:
    """One pScheduler node at `base`, "https://HOST/pscheduler". Use with `async with`.

    `verify`: whether its certificate is checked, or the file of the authorities that it is checked against.
    Every call raises NodeError. Addresses of tasks and runs are made here: those in the answers have the
    node's own name, which may be unknown to us.
    """

    def __init__(self, base: str, verify: bool | str = True) -> None:
        self._base = base.rstrip("/")
        try:
            trusted = ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify
        except OSError as problem:
            raise InputError(f"CA file {verify}: expected certificates in PEM: {problem}") from None
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.AsyncClient(
            verify=trusted, timeout=timeout, trust_env=False, headers={"Accept-Encoding": "gzip"}
        )

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def post_task(self, task: Mapping[str, Any]) -> str:
        """Have a task done; its uuid. The node decodes ASCII only, and JSON by its media type only."""
        answer = await self._ask(
            "POST", "tasks", content=json.dumps(task), headers={"Content-Type": "application/json"}
        )
        try:
            return str(uuid.UUID(str(answer).rstrip("/").rpartition("/")[2]))
        except ValueError:
            raise NodeError(f"expected the address of a task, got {str(answer)[:80]!r}") from None

    async def task(self, task: str) -> Mapping[str, Any]:
        """The task as the node has it, with the tool that it chose."""
        return _object(await self._ask("GET", f"tasks/{task}"), "a task")

    async def first_run(self, task: str) -> Mapping[str, Any] | None:
        """The task's first run as it is now; None where it hasn't been scheduled yet.

        Of the node's own ways of waiting, this one is short: waiting for results that never come
        (wait-merged on a run that was not started) would block until its very end.
        """
        try:
            found = await self._ask("GET", f"tasks/{task}/runs/first", params={"wait-local": "", "wait": "1"})
        except NodeError as problem:
            if problem.status == 404:
                return None
            raise
        return _object(found, "a run")

    async def delete_task(self, task: str) -> None:
        """Keep the task from running (any more). One that is gone already is well."""
        try:
            await self._ask("DELETE", f"tasks/{task}")
        except NodeError as problem:
            if problem.status != 404:
                raise

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        url = f"{self._base}/{path}"
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._http.stream(method, url, **options) as answer,
            ):
                body = await whole_async(answer, ANSWER_BYTES)
        except (httpx.TimeoutException, TimeoutError):
            raise NodeError(f"no answer from {url} in time") from None
        except UnreadableError as problem:
            raise NodeError(f"{url} answers with {problem}") from None
        except httpx.HTTPError as problem:
            raise NodeError(f"{url}: {in_words(problem)}") from None
        text = body.decode(errors="replace")
        if answer.status_code != 200:
            raise NodeError(explain(answer.status_code, text), answer.status_code)
        if method == "DELETE":
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise NodeError(f"{url}: expected JSON, got {one_line(text)[:80]!r}") from None


def explain(status: int, text: str) -> str:
    """One line of what a node says with a status that isn't 200: always plain text, sometimes a diagnosis."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[0] if lines else "no reason given"
    if status == 403:
        # which limit it was stands in the middle of the diagnosis
        failed = next((line for line in lines if line.startswith("Group") and "failed:" in line), None)
        limit = failed.partition(": ")[2] if failed else None
        return one_line(f"{said} {limit}" if limit else said)[:_MOST_TEXT]
    return one_line(f"{said} (HTTP {status})")[:_MOST_TEXT]


def _object(answer: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise NodeError(f"expected {what}, got JSON of another shape")
    return answer
