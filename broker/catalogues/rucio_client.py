"""A Rucio server over HTTP: the few calls that say where data is. Each is one for a whole collection."""

from __future__ import annotations

import contextlib
import math
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from broker.catalogues import rucio_answers as answers
from broker.catalogues.rucio_http import ask
from broker.catalogues.rucio_options import Server
from broker.catalogues.rucio_tokens import RucioError, Tokens
from federation.clock import Clock
from federation.errors import InputError, one_line
from federation.http_asking import UnansweredError, UnreadableError, client
from federation.tls import client_tls

T = TypeVar("T")
LEAST_SIGNED_SECONDS = 600
# what is passed on of what it says
LONGEST_WORDS = 300
# the class of its errors where an account may not
DENIED = "AccessDenied"
# of the ways in, those that can be fetched from
SCHEMES = ("davs", "https", "s3s", "s3", "dav", "http")


class NotThereError(RucioError):
    """Rucio doesn't know it."""


class Rucio:
    """One Rucio server. Calls block until `until` (time.monotonic) at most, and come from any thread.

    All raise RucioError with one line, NotThereError for what Rucio doesn't know.
    """

    def __init__(self, server: Server, clock: Clock | None = None) -> None:
        self.server, self._clock = server, clock
        self._making = threading.Lock()
        self._made: tuple[object, httpx.Client, Tokens] | None = None

    @property
    def where(self) -> str:
        return f"Rucio at {self.server.url}"

    def did(self, scope: str, name: str, until: float) -> answers.Did:
        """With the sum of all files below it."""
        path = f"/dids/{_did(scope, name)}?dynamic_depth=FILE"
        return self._one(answers.Did, self._ask("GET", path, until))

    def members(self, scope: str, name: str, until: float) -> Sequence[answers.Member]:
        return self._stream(answers.Member, self._ask("GET", f"/dids/{_did(scope, name)}/dids", until))

    def files(self, scope: str, name: str, until: float) -> Sequence[answers.ListedFile]:
        """All files below a collection; of a file, itself."""
        return self._stream(answers.ListedFile, self._ask("GET", f"/dids/{_did(scope, name)}/files", until))

    def dataset_replicas(self, scope: str, name: str, until: float) -> Sequence[answers.DatasetReplica]:
        """Counted file by file, at the server: without `deep` it knows of no copy that no rule made."""
        path = f"/replicas/{_did(scope, name)}/datasets?deep=True"
        return self._stream(answers.DatasetReplica, self._ask("GET", path, until))

    def replicas(
        self, scope: str, name: str, until: float, seconds: float = 0.0
    ) -> Sequence[answers.FileReplicas]:
        """The copies of all files below it that can be read now. Files without one may be left out. URLs that
        Rucio signs, as it does for storages with `sign_url`, are good for `seconds`.

        Sorting is switched off: by default Rucio looks up the place of every copy, ten times as slow.
        """
        question = {
            "dids": [{"scope": scope, "name": name}],
            "schemes": SCHEMES,
            "sort": "random",
            "ignore_availability": False,
            "resolve_archives": False,
            "signature_lifetime": max(math.ceil(seconds), LEAST_SIGNED_SECONDS),
        }
        return self._stream(answers.FileReplicas, self._ask("POST", "/replicas/list", until, question))

    def rse(self, rse: str, until: float) -> answers.Rse:
        return self._one(answers.Rse, self._ask("GET", f"/rses/{quote(rse, safe='')}", until))

    def attributes(self, rse: str, until: float) -> Mapping[str, Any]:
        return self._one(dict, self._ask("GET", f"/rses/{quote(rse, safe='')}/attr/", until))

    def distance(self, source: str, destination: str, until: float) -> float | None:
        """None where there is none yet."""
        found = self._one(list[answers.Distance], self._ask("GET", _distance(source, destination), until))
        return found[0].distance if found else None

    def set_distance(self, source: str, destination: str, distance: int, new: bool, until: float) -> None:
        """`new`: there is none yet."""
        method = "POST" if new else "PUT"
        self._ask(method, _distance(source, destination), until, {"distance": distance})

    def rule(self, scope: str, name: str, expression: str, until: float) -> answers.Rule | None:
        """Our account's rule for it with that RSE expression, of which there is one at most."""
        which = {"scope": scope, "name": name, "account": self.server.account, "rse_expression": expression}
        found = self._stream(answers.Rule, self._ask("GET", f"/rules/?{urlencode(which)}", until))
        return next((each for each in found if each.rse_expression == expression), None)

    def add_rule(
        self,
        scope: str,
        name: str,
        expression: str,
        seconds: float,
        activity: str,
        comment: str,
        until: float,
    ) -> None:
        """A rule for one copy, which ends after `seconds`."""
        rule = {
            "dids": [{"scope": scope, "name": name}],
            "account": self.server.account,
            "copies": 1,
            "rse_expression": expression,
            "lifetime": math.ceil(seconds),
            "activity": activity,
            "comment": comment,
        }
        self._ask("POST", "/rules/", until, rule)

    def delete_rule(self, rule: str, until: float) -> None:
        """It ends within the hour, when Rucio's judge comes by."""
        self._ask("DELETE", f"/rules/{quote(rule, safe='')}", until, {})

    def _one(self, kind: type[T], body: bytes) -> T:
        with self._readable():
            return answers.read_one(body, kind)

    def _stream(self, kind: type[T], body: bytes) -> list[T]:
        with self._readable():
            return answers.read_stream(body, kind)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            words = one_line(error)
            raise RucioError(f"{self.where} answers with what can't be read: {words}") from None

    def _ask(self, method: str, path: str, until: float, question: Any = None) -> bytes:
        """The body of a good answer. A token that is refused is renewed, once."""
        http, tokens = self._client()
        body = None if question is None else msgspec.json.encode(question)
        token = tokens.get(until)
        status, answer = self._send(http, tokens, method, path, token, body, until)
        if status == 401:
            token = tokens.get(until, refused=token)
            status, answer = self._send(http, tokens, method, path, token, body, until)
        if 200 <= status < 300:
            return answer
        complaint = _complaint(answer)
        raise self._refusal(status, complaint.exception_class, _words(complaint, tokens))

    def _send(
        self,
        http: httpx.Client,
        tokens: Tokens,
        method: str,
        path: str,
        token: str,
        body: bytes | None,
        until: float,
    ) -> tuple[int, bytes]:
        headers = {"X-Rucio-Auth-Token": token, "Content-Type": "application/json"}
        try:
            answer = ask(http, method, self.server.url + path, headers, body, until)
        except UnansweredError as error:
            raise RucioError(f"{self.where} can't be asked: {tokens.without(str(error))}") from None
        except UnreadableError as error:
            raise RucioError(f"{self.where} answers with {error}") from None
        return answer.status, answer.body

    def _refusal(self, status: int, kind: str, said: str) -> RucioError:
        words = f": {said}" if said else ""
        # Rucio says 401 for both
        if status == 403 or kind == DENIED:
            text = f"{self.where} denies this to account {self.server.account}{words}"
        elif status == 401:
            text = f"{self.where} doesn't take our sign-in{words}"
        elif status == 404:
            return NotThereError(f"{self.where} doesn't know it{words}", status, kind)
        else:
            verb = "fails" if status >= 500 else "refuses"
            text = f"{self.where} {verb} with status {status}{words}"
        return RucioError(text, status, kind)

    def _client(self) -> tuple[httpx.Client, Tokens]:
        """The client, made anew where the certificate's file is another: proxies live for a day."""
        with self._making:
            stamp = _stamp(self.server)
            if self._made is None or self._made[0] != stamp:
                http = client(_tls(self.server), {"User-Agent": "fairlead"})
                # the one before is closed with its last request: others may be reading from it
                self._made = stamp, http, Tokens(self.server, http, self._clock)
            return self._made[1], self._made[2]


def _did(scope: str, name: str) -> str:
    # names have slashes, which Rucio takes as they are; a part that is all dots would climb
    if any(part in (".", "..") for part in (scope, *name.split("/"))):
        raise NotThereError(f"{scope}:{name} is no name in Rucio")
    try:
        return f"{quote(scope, safe='')}/{quote(name)}"
    except UnicodeEncodeError:
        raise NotThereError("what has bytes that are no UTF-8 is no name in Rucio") from None


def _distance(source: str, destination: str) -> str:
    return f"/rses/{quote(source, safe='')}/distances/{quote(destination, safe='')}"


def _complaint(answer: bytes) -> answers.Complaint:
    """Without any words where it is something else: a page that is for browsers."""
    with contextlib.suppress(ValueError):
        return answers.read_one(answer, answers.Complaint)
    return answers.Complaint()


def _words(said: answers.Complaint, tokens: Tokens) -> str:
    """What it says, in one line; without secrets first, for half of one is too much."""
    text = tokens.without(said.exception_message or said.exception_class)
    return one_line(text)[:LONGEST_WORDS]


def _stamp(server: Server) -> object:
    """Something else whenever a file of the certificate is another."""
    found = []
    for file in (server.certificate_file, server.key_file, server.ca_file):
        with contextlib.suppress(OSError):
            about = file.stat() if file is not None else None
            found.append(about and (about.st_mtime_ns, about.st_ino, about.st_size))
    return tuple(found)


def _tls(server: Server) -> ssl.SSLContext | bool:
    if not any(url.startswith("https://") for url in (server.url, server.auth_url)):
        return False
    try:
        return client_tls(server.ca_file, server.certificate_file, server.key_file)
    except InputError as error:
        raise RucioError(str(error)) from None
