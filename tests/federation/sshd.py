"""An OpenSSH server on loopback with keys of its own: it lets in the one user who runs the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from federation.hosts import SshHost
from tests.ports import free_port
from tests.waiting import until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class Server:
    """A running sshd, and the host that reaches it."""

    host: SshHost
    directory: Path

    def with_known_hosts(self, text: str) -> SshHost:
        other = self.directory / "other_known_hosts"
        other.write_text(text)
        return replace(self.host, known_hosts=str(other))


def seen_by_everybody() -> str:
    """The command lines and environments of all processes of this machine, and so of the other one."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                found.append((directory / name).read_bytes().decode(errors="replace"))
    return "\n".join(found)


def new_key(path: Path) -> str:
    """Make a key pair without a passphrase; the public half, as known_hosts has it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


@contextlib.contextmanager
def ssh_server(directory: Path, **environment: str) -> Iterator[Server]:
    """Its sessions have `environment`."""
    port = free_port()
    public = new_key(directory / "host key")
    new_key(directory / "identity")
    (directory / "known hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (directory / "sshd_config").write_text(
        f'Port {port}\nListenAddress 127.0.0.1\nHostKey "{directory}/host key"\nPidFile none\n'
        f'AuthorizedKeysFile "{directory}/identity.pub"\nStrictModes no\nUsePAM no\n'
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    if environment:
        setting = " ".join(f'"{name}={value}"' for name, value in environment.items())
        with (directory / "sshd_config").open("a") as configuration:
            configuration.write(f"SetEnv {setting}\n")
    if os.geteuid() == 0:
        # the server wants an empty directory to shut itself into, which its unit would make
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(directory / "sshd_config")], stderr=log)
    try:

        def is_listening() -> bool:
            said = (directory / "log").read_text()
            assert server.poll() is None, said
            return "Server listening" in said

        until(is_listening, "sshd listens", (directory / "log").read_text)
        name = f"{getpass.getuser()}@127.0.0.1"
        host = SshHost(name, port, str(directory / "known hosts"), str(directory / "identity"))
        yield Server(host, directory)
    finally:
        server.terminate()
        server.wait(60)
