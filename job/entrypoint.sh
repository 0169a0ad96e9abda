#!/usr/bin/env bash
# The image's entry point.
#
#   entrypoint.sh --exp cuboid ...     trains, with the options of python -m mapush.train
#   entrypoint.sh python -m ...        runs another command of the image
#
#   MAPUSH_ROOT        where results/ and log/ are, unless --root says it; the host's is mounted there
#   MAPUSH_EXTENSIONS  what the image has compiled for torch; this start gets a copy of its own
#
# The process is replaced by the command's, so that signals reach it and its exit code comes back.
# What is wrong with the request is one line on stderr and exit code 2.
set -uo pipefail

image=$(cd -- "${0%/*}/.." && pwd) || exit

refuse() {
    printf 'mapush: %s\n' "$1" >&2
    exit 2
}

is_training() { # and where it writes, in $root
    local word before=''
    [[ ${1:--} == -* ]] || return 1
    for word in "$@"; do
        case $before$word in
        --help | -h) return 1 ;;
        --root=*) root=${word#*=} ;;
        --root' '*) root=$word ;;
        esac
        [ "$word" = --root ] && before='--root ' || before=''
    done
}

check_root() { # DIRECTORY
    local place mount found=/
    place=$(realpath -m -- "$1")
    while read -r _ _ _ _ mount _; do
        printf -v mount %b "$mount" # a space in it is written \040
        [[ $place/ != "${mount%/}"/* ]] || [ ${#mount} -lt ${#found} ] || found=$mount
    done </proc/self/mountinfo
    [ "$found" != / ] || refuse "$1: nothing of the host is mounted there, so the results would go with the container; add -v \"\$PWD:$1\" (docker, podman) or --bind \"\$PWD:$1\" (apptainer)"
    if [ ! -d "$1" ] && ! mkdir -p -- "$1" 2>/dev/null || [ ! -w "$1" ]; then
        refuse "$1: user id $(id -u) cannot write there; add --user \"\$(id -u):\$(id -g)\" (docker) or --userns=keep-id (podman)"
    fi
}

is_writable() { [ -n "$1" ] && [ -d "$1" ] && [ -w "$1" ]; }

root=${MAPUSH_ROOT:-/out}
! is_training "$@" || check_root "$root"

# Apptainer's /tmp is the host's, where starts that have ended leave theirs.
place=${TMPDIR:-/tmp}/mapush-$HOSTNAME
for left in "$place".[0-9]*.??????; do
    pid=${left#"$place".}
    [ ! -O "$left" ] || [ -L "$left" ] || [ -e "/proc/${pid%.*}" ] || rm -rf -- "$left"
done
scratch=$(mktemp -d "$place.$$.XXXXXX") ||
    refuse "${TMPDIR:-/tmp}: cannot be written; set TMPDIR, or add --tmpfs /tmp:exec (docker, podman)"
is_writable "${HOME:-}" || export HOME=$scratch
if [ -z "${TORCH_EXTENSIONS_DIR:-}" ]; then
    # Of its own for each start: a killed build leaves a lock that torch waits for without end.
    export TORCH_EXTENSIONS_DIR=$scratch/torch_extensions
    mkdir -- "$TORCH_EXTENSIONS_DIR" || exit
    if [ -d "${MAPUSH_EXTENSIONS:-}" ]; then
        # With their times, by which nothing is compiled again.
        cp -Rp -- "$MAPUSH_EXTENSIONS/." "$TORCH_EXTENSIONS_DIR/" || exit
    fi
fi
# A user id without a name in the image breaks getpass.
export USER="${USER:-user$(id -u)}"
export LOGNAME="${LOGNAME:-$USER}"

cd "$image" || exit
if [[ ${1:--} == -* ]]; then set -- python3 -m mapush.train "$@"; fi
exec -- "$@"
