#!/usr/bin/env bash
# The image's entry point.
#
#   entrypoint.sh --exp cuboid ...     trains, with the options of python -m mapush.train
#   entrypoint.sh python -m ...        runs another command of the image
#
#   MAPUSH_ROOT        where results/ and log/ are; a directory of the host is mounted there
#   MAPUSH_EXTENSIONS  what the image has compiled for torch; this start gets a copy of its own
#
# The process is replaced by the command's, so that signals reach it and its exit code comes back.
# What is wrong with the request is one line on stderr and exit code 2.
set -uo pipefail

readonly image=${0%/job/*}

refuse() {
    printf 'mapush: %s\n' "$1" >&2
    exit 2
}

is_training() {
    local word
    [[ ${1:--} == -* ]] || return 1
    for word in "$@"; do [ "$word" != --help ] && [ "$word" != -h ] || return 1; done
}

check_root() { # DIRECTORY
    local place mount found=/
    place=$(realpath -m -- "$1")
    while read -r _ _ _ _ mount _; do
        mount=$(printf '%b' "$mount") # a space in it is written \040
        [[ $place/ != "${mount%/}"/* ]] || [ ${#mount} -lt ${#found} ] || found=$mount
    done </proc/self/mountinfo
    [ "$found" != / ] || refuse "MAPUSH_ROOT=$1: nothing of the host is mounted there, so the results would go with the container; add -v \"\$PWD:$1\" (docker, podman) or --bind \"\$PWD:$1\" (apptainer)"
    if [ ! -d "$1" ] && ! mkdir -p -- "$1" 2>/dev/null || [ ! -w "$1" ]; then
        refuse "MAPUSH_ROOT=$1: user id $(id -u) cannot write there; add --user \"\$(id -u):\$(id -g)\" (docker) or --userns=keep-id (podman)"
    fi
}

is_writable() { [ -n "$1" ] && [ -d "$1" ] && [ -w "$1" ]; }

! is_training "$@" || check_root "${MAPUSH_ROOT:-/out}"

# Of its own for each start: a killed build leaves a lock that torch waits for without end.
if [ -z "${TORCH_EXTENSIONS_DIR:-}" ]; then
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/mapush.XXXXXX") || refuse "${TMPDIR:-/tmp}: cannot be written; set TMPDIR, or add --tmpfs /tmp (docker, podman)"
    export TORCH_EXTENSIONS_DIR=$scratch/torch_extensions
    mkdir -- "$TORCH_EXTENSIONS_DIR" || exit
    is_writable "${HOME:-}" || export HOME=$scratch
fi
if [ -d "${MAPUSH_EXTENSIONS:-}" ]; then
    # With their times, by which nothing is compiled again.
    cp -Rp -- "$MAPUSH_EXTENSIONS/." "$TORCH_EXTENSIONS_DIR/" || exit
fi
# A user id without a name in the image breaks getpass.
export USER="${USER:-user$(id -u)}"
export LOGNAME="${LOGNAME:-$USER}"

cd "$image" || exit
if [[ ${1:--} == -* ]]; then set -- python3 -m mapush.train "$@"; fi
exec -- "$@"
