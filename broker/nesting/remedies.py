"""What an operator would change for each way in which a container in a container fails.

From the failures themselves, tried one by one: docs/nested-containers.md has the table.
"""

from __future__ import annotations

from broker.nesting import Attempt, Kind

# what the errors say, as unshare, bubblewrap, crun, runc and podman word them
_NO_SYSCALL = ("function not implemented", "enosys", "re-exec process")
_NO_MORE = ("no space left on device", "max_user_namespaces")
_PROC = ("mount /proc", "mount proc", "mounting proc", 'mounting "proc"', "mount `proc`")
_UTS = ("sethostname", "siocsifflags", "loopback")
_CGROUP = ("cgroup",)
_NO_USERNS = ("unshare", "namespace", "clone")

UNMASK = (
    "let containers mount a /proc: `--security-opt unmask=ALL` for podman, `procMount: Unmasked` with user "
    "namespaces (`hostUsers: false`) for Kubernetes"
)


def remedy(kind: Kind, failed: Attempt) -> str:
    """In words that follow "its operator would"."""
    said = failed.said.lower()
    if kind is Kind.SOCKET:
        return "mount an engine's socket for those alone who may be root on the machine: it makes them that"
    if _has(said, _NO_SYSCALL):
        return "use a seccomp profile that allows unshare, clone, clone3 and mount, such as podman's own"
    if _has(said, _NO_MORE):
        return "raise the sysctl user.max_user_namespaces"
    if _has(said, _PROC):
        return UNMASK
    if _has(said, _UTS) or _has(said, _CGROUP):
        return (
            f"do nothing, but say that {Kind.PODMAN_SHARED} may be asked for; or allow privileged containers"
        )
    if _has(said, _NO_USERNS):
        return (
            "allow user namespaces: the sysctls kernel.unprivileged_userns_clone=1 (Debian) and "
            "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or an AppArmor profile with userns"
        )
    return "look at what it said, or allow privileged containers"


def _has(said: str, words: tuple[str, ...]) -> bool:
    return any(word in said for word in words)
