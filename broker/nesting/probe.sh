# Tries each kind of container inside of the one that this runs in, and says how that ends, a line each:
#   fairlead-nesting KIND EXIT_CODE LAST_LINE_OF_ITS_ERRORS
# Exit code 127: not tried, for the image has no such program. Any POSIX shell; nothing but it is needed.
mark=fairlead-nesting

say() { printf '%s %s %s %s\n' "$mark" "$1" "$2" "$3"; }

last_line() {
    last=
    while IFS= read -r line || [ -n "$line" ]; do [ -z "$line" ] || last=$line; done
    printf '%s' "$last"
}

try() {
    kind=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        say "$kind" 127 "the image has no $1"
        return
    fi
    said=$("$@" 2>&1 </dev/null)
    code=$?
    # 127 is what a shell says of a program that is missing, which this one isn't
    [ "$code" -ne 127 ] || code=126
    if [ "$code" -eq 0 ]; then said=; fi
    say "$kind" "$code" "$(printf '%s\n' "$said" | last_line)"
}

files=-1 processes=-1
# "Max open files SOFT HARD UNIT" and "Max processes SOFT HARD UNIT"
while read -r _ second third fourth fifth _; do
    case $second in
        open) files=$fifth ;;
        processes) processes=$fourth ;;
    esac
done </proc/self/limits
[ "$files" != unlimited ] || files=-1
[ "$processes" != unlimited ] || processes=-1

read -r kernel </proc/sys/kernel/osrelease
say kernel 0 "$kernel"
say user 0 "$(id -u 2>/dev/null)"

try userns unshare -U -r true
try userns-proc unshare -U -r -p -f -m --mount-proc true
try bwrap-no-proc bwrap --unshare-user --ro-bind / / true
try bwrap bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc true

# a container of podman's, made of this one's own programs, so that no image is needed
work=${TMPDIR:-/tmp}/$mark.$$
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/home" "$work/run" "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root/tmp" \
    "$work/root/etc" "$work/root/run"
export HOME="$work/home" XDG_RUNTIME_DIR="$work/run" TMPDIR="$work/run"
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/graph" "$work/run" >"$work/storage.conf"
export CONTAINERS_STORAGE_CONF="$work/storage.conf"
for tool in bwrap podman; do
    command -v "$tool" >/dev/null 2>&1 && say "$tool-version" 0 "$("$tool" --version 2>/dev/null | last_line)"
done

volumes=
for top in usr bin lib lib64 sbin; do
    if [ -L "/$top" ]; then
        ln -s "$(readlink "/$top")" "$work/root/$top"
    elif [ -d "/$top" ]; then
        mkdir -p "$work/root/$top"
        volumes="$volumes --volume /$top:/$top:ro"
    fi
done
inner() {
    kind=$1
    shift
    # shellcheck disable=SC2086  # words of volumes are arguments
    try "$kind" podman --cgroup-manager cgroupfs --events-backend file "$@" --rm --security-opt label=disable \
        --ulimit "nofile=$files:$files" --ulimit "nproc=$processes:$processes" $volumes --rootfs "$work/root" true
}
inner podman run --network none
# what of this container's can't be made anew is shared with it
runtime=
command -v crun >/dev/null 2>&1 && runtime="--runtime crun"
# shellcheck disable=SC2086
inner podman-shared $runtime run --cgroups disabled --network host --uts host

socket=
for path in "${CONTAINER_HOST#unix://}" "${DOCKER_HOST#unix://}" /run/podman/podman.sock /var/run/docker.sock; do
    if [ -z "$socket" ] && [ -n "$path" ] && [ -S "$path" ]; then socket=$path; fi
done
if [ -z "$socket" ]; then
    say socket 1 "no engine's socket is in the container"
else
    try socket podman --remote --url "unix://$socket" version
fi
