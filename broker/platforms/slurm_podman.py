"""podman in a Slurm job.

The container is put into the job's own control groups, so that Slurm's limits hold for it. It is no child of
the job's processes, so that the script has to end it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.model import Job
from broker.platforms.podman_containers import LABEL
from broker.platforms.podman_ports import publish_arguments
from broker.platforms.podman_run import (
    LOG_NAME,
    SECRETS_NAME,
    container_name,
    content_arguments,
    limit_arguments,
    log_arguments,
    secret_names,
)
from broker.platforms.slurm_ports import PORTS_NAME, telling
from broker.platforms.slurm_script import Body, line

IMAGE_FILE = "image.tar"
# what podman itself complained of
ENGINE_FILE = "engine"

# /proc/self/cgroup names the job where Slurm has control groups of its own. With version 1 a container gets
# limits of its own below the job's; with version 2 it stays where podman is, in the job's group itself, since
# nobody but Slurm may make groups there.
_LIMITS = """
own=$(grep -m 1 "/job_$SLURM_JOB_ID/" /proc/self/cgroup)
manager= limits= parent=
case $own in
  0::*) limits=--cgroups=disabled ;;
  ?*)
    if [ "$(id -u)" = 0 ]; then
      parent=${own#*:*:}
      parent=${parent%%/job_*}/job_$SLURM_JOB_ID
      manager=--cgroup-manager=cgroupfs
      limits="--cgroup-parent=$parent {limits}"
    fi ;;
  *) limits="{alone}" ;;
esac
rm -f oom {files}
"""
_IMAGE = """
image={id}
if ! {engine} image exists "$image"; then
  [ -e {file} ] || fail "its node $node doesn't have the image {id}"
  loaded=$({engine} load --quiet --input {file} 2>>{said}) ||
    fail "podman can't load the image on $node: $(tail -n 1 {said})"
  image=${{loaded##*: }}
fi
"""
# what was put into a store of secrets, and groups that podman made beside Slurm's own
_TIDY = """{engine} rm --force --ignore --time 0 {name} >/dev/null 2>&1
  for secret in {secrets}; do {engine} secret rm "$secret" >/dev/null 2>&1; done
  [ -z "$parent" ] || for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rmdir /sys/fs/cgroup/*"$parent"/conmon /sys/fs/cgroup/*"$parent" 2>/dev/null
    ls -d /sys/fs/cgroup/*"$parent"/conmon >/dev/null 2>&1 || break
    sleep 0.1
  done
  [ -z "$parent" ] || rmdir /sys/fs/cgroup/*"${{parent%/*}}" /sys/fs/cgroup/*"${{parent%/*/*}}" 2>/dev/null"""
_JUDGE = """if [ "$code" -ge 125 ] && [ "$code" -le 127 ] && [ -s {engine} ]; then
  reason="podman could not start it on $node: $(tail -n 1 {engine})"
elif [ "$code" = 137 ] && [ -e oom ]; then
  reason=oom
elif [ "$code" = 0 ] && [ -n "$stopped" ] && ! [ -s {log} ]; then
  # podman's 0 is also that of a container which was stopped before it ran
  code=143
fi"""
# Slurm looks at time limits every half minute, and lets the script end: until then it is its job alone
BACKSTOP_SECONDS = 300
# the reason that stands for the kernel having killed it for want of memory
OUT_OF_MEMORY = "oom"


def podman_body(
    job: Job, image_id: str, batch: Path, options: Mapping[str, Any], engine: list[str], limit_seconds: int
) -> Body:
    """Raises PlatformError for what can't be said on podman's command line. `limit_seconds`: what the Slurm
    job may last; conmon ends the container then, should nobody else have done it."""
    name, podman, secrets = container_name(job.id), line(*engine), secret_names(batch)
    limits = line(*limit_arguments(job, options))
    prepare = _LIMITS.replace("{limits}", limits).replace("{files}", f"{ENGINE_FILE} {LOG_NAME}")
    prepare = prepare.replace("{alone}", limits if options["limits"] == "required" else "")
    words = {"engine": podman, "said": ENGINE_FILE, "file": IMAGE_FILE}
    prepare += _IMAGE.format(id=image_id, **words)
    if job.executable.ports:
        # the ports of one before are not its
        prepare += f"{podman} rm --force --ignore --time 0 {name} >/dev/null 2>&1\nrm -f {PORTS_NAME}\n"
    for secret in secrets:
        file = line(f"{SECRETS_NAME}/{secret}")
        # what a run left that was cut short on the same node is in the way
        prepare += f"{podman} secret rm {secret} >/dev/null 2>&1\n"
        prepare += f'{podman} secret create {secret} {file} >/dev/null || fail "podman takes no secret"\n'
    run = ["run", "--rm", "--replace", "--pull", "never", "--name", name, "--label", f"{LABEL}={job.id}"]
    # attached to nothing that is printed: conmon keeps the log, and podman's own words stay apart from it
    run += ["--attach", "stdin", *log_arguments(batch), *publish_arguments(job.executable.ports, options)]
    run += ["--timeout", str(limit_seconds + BACKSTOP_SECONDS)]
    run += [*options["engine_run"], *content_arguments(job, batch)]
    command = line(*job.executable.command)
    return Body(
        prepare=prepare.strip("\n"),
        run=f'{podman} $manager {line(*run)} $limits "$image" {command}'.rstrip(),
        slay=f"{podman} kill {name}",
        tidy=_TIDY.format(engine=podman, name=name, secrets=line(*secrets)),
        judge=_JUDGE.format(engine=ENGINE_FILE, log=LOG_NAME),
        beside=telling(podman, name) if job.executable.ports else ":",
        output=f">/dev/null 2>>{ENGINE_FILE}",
    )
