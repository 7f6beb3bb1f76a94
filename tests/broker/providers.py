"""Real OpenID providers on loopback, none of them ours: who gets a token there brings it to the broker."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from federation.clock import ManualClock
from tests.ports import free_port

GROUPS = {"ada": ["ska"], "operator": ["ska", "ska/operators"], "stranger": ["atlas"]}
_NODE = Path(__file__).with_name("oidc_provider")


class Clock(ManualClock):
    """Goes on with the provider's, which is the machine's, however long a test takes; and can be turned."""

    def __init__(self):
        self._begun = datetime.now(UTC)
        super().__init__(self._begun)

    def now(self):
        return datetime.now(UTC) + (super().now() - self._begun)


def _client():
    return httpx.Client(trust_env=False, timeout=120)


class PythonProvider:
    """oidc-provider-mock (on Authlib): the authorization code flow; its ID tokens are what clients bring."""

    audience = "fairlead"

    def __init__(self):
        self._stack = ExitStack()
        self.port = free_port()
        self.start()

    def start(self):
        """Begin, or begin again with other keys."""
        from oidc_provider_mock import run_server_in_thread

        self._stack.enter_context(run_server_in_thread(port=self.port))
        self.issuer = f"http://localhost:{self.port}"
        with _client() as client:
            for name, groups in GROUPS.items():
                claims = {"preferred_username": name, "groups": groups}
                client.put(f"{self.issuer}/users/{name}", json=claims).raise_for_status()

    def stop(self):
        """End it. Called again: does nothing."""
        self._stack.close()

    def token(self, name, audience=None):
        """What `name` gets; of ID tokens, the audience is the client."""
        audience = audience or self.audience
        with _client() as client:
            known = client.get(f"{self.issuer}/.well-known/openid-configuration").json()
            back = "https://portal.example/back"
            query = {
                "client_id": audience,
                "redirect_uri": back,
                "response_type": "code",
                "scope": "openid profile",
                "state": "x",
            }
            answer = client.post(known["authorization_endpoint"], params=query, data={"sub": name})
            code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
            answer = client.post(known["token_endpoint"], data=form, auth=(audience, "any"))
            return answer.raise_for_status().json()["id_token"]


class NodeProvider:
    """node-oidc-provider, which is certified: client credentials, with JWT access tokens (RFC 9068)."""

    audience = "https://broker.example"

    def __init__(self, algorithm):
        self._directory = _installed()
        self._algorithm = algorithm
        self.port = free_port()
        self.start()

    def start(self):
        """Begin, or begin again with other keys."""
        options = json.dumps({"port": self.port, "algorithm": self._algorithm})
        self._process = subprocess.Popen(
            ["node", "provider.mjs", options],
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.issuer = self._process.stdout.readline().strip()
        assert self.issuer, "the provider doesn't start"

    def stop(self):
        """End it. Called again: does nothing."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def token(self, name, audience=None):
        form = {"grant_type": "client_credentials", "scope": "compute"}
        form["resource"] = audience or self.audience
        with _client() as client:
            answer = client.post(f"{self.issuer}/token", data=form, auth=(name, f"{name}%27s+own"))
            return answer.raise_for_status().json()["access_token"]


def _installed():
    """The directory with the provider, as its lock file has it; kept from one run to the next."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node here to run an OpenID provider on")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_NODE.iterdir()))).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead-tests"
    ready = cache / f"oidc-provider-{digest}"
    if not ready.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=cache))
        try:
            for file in _NODE.iterdir():
                shutil.copy(file, made)
            npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(npm, cwd=made, capture_output=True, text=True, timeout=600)
            if done.returncode != 0:
                pytest.skip("npm can't install an OpenID provider here")
            made.rename(ready)
        except OSError:
            # another run was first
            assert ready.exists()
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return ready


# the first signs by RS256
PROVIDERS = {
    "oidc-provider-mock": PythonProvider,
    "node-oidc-provider": lambda: NodeProvider("ES256"),
}
