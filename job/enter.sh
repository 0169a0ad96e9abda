#!/usr/bin/env bash
# enter.sh CMD [ARG...]: runs CMD in this process's place, bare or in the job's container.
#
#   MAPUSH_CONTAINER         a .sif file, a sandbox directory, docker://NAME or an image's name; empty: bare
#   MAPUSH_RUNTIME           auto (the default), apptainer, singularity, docker or podman
#   MAPUSH_BINDS             one SRC[:DST[:ro]] per line, bound beside the two that follow
#   MAPUSH_CODE              the code's snapshot: working directory, first in PYTHONPATH, bound read-only
#   MAPUSH_ROOT              where results/ and log/ are, bound read-write; both at the host's own path
#   MAPUSH_GPUS              GPUs that CMD needs: a count
#   MAPUSH_CONTAINER_PYTHON  the container's Python, which CMD sees as $PYTHON; python3 unless given
#   MAPUSH_JOB_ID            by it a container that an earlier start of the job left running is found
#
# A signal sent to this process reaches CMD, and CMD's exit code is this process's. What is wrong with
# the request is one line on stderr and exit code 2, before anything starts.
#
# The container shares the host's process ids, name, network and shared memory: a lease tells by host
# name and process id whether its owner still lives, and a namespace of its own would hide that.
set -uo pipefail

# bash keeps a HOSTNAME that sbatch has brought along from another node.
IFS= read -r host </proc/sys/kernel/hostname || host=unknown

# Beside MAPUSH_*, what reaches CMD in the container; everything else is the image's own.
readonly passed=(
    SLURM_JOB_ID SLURM_RESTART_COUNT SLURM_CPUS_PER_TASK SLURM_PROCID SLURM_NTASKS SLURM_LOCALID
    SLURMD_NODENAME SLURM_JOB_START_TIME SLURM_GPUS_ON_NODE PYTHONUNBUFFERED TZ
    CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUBLAS_WORKSPACE_CONFIG OMP_NUM_THREADS MUJOCO_GL
)
# Would make an enter.sh inside the container enter a container again.
readonly kept=' MAPUSH_CONTAINER MAPUSH_RUNTIME MAPUSH_BINDS MAPUSH_CONTAINER_PYTHON '

# Runs in the container, with NAME=VALUE... -- CMD [ARG...]. Apptainer lets a shell expand the values
# it is told by --env, and an image's own environment wins over them: arguments arrive as they are.
# shellcheck disable=SC2016
readonly inside='
stop() { printf "mapush: %s\n" "$1" >&2; exit 2; }
while [ "$1" != -- ]; do export "$1"; shift; done
shift
if [ -n "${MAPUSH_CODE:-}" ]; then
    export PYTHONPATH="$MAPUSH_CODE${PYTHONPATH:+:$PYTHONPATH}"
    cd "$MAPUSH_CODE" || stop "MAPUSH_CODE=$MAPUSH_CODE: cannot be entered in the container"
fi
for needed in "$PYTHON" "$1"; do
    command -v "$needed" >/dev/null ||
        stop "$needed: no such command in the container; MAPUSH_CONTAINER_PYTHON names its Python"
done
mkdir -p "$TORCH_EXTENSIONS_DIR" || stop "$TORCH_EXTENSIONS_DIR: cannot be made in the container"
# What the image has compiled for torch, with its times, by which nothing is compiled again.
if [ -d "${MAPUSH_EXTENSIONS:-}" ]; then
    cp -Rp "$MAPUSH_EXTENSIONS/." "$TORCH_EXTENSIONS_DIR/" ||
        stop "$MAPUSH_EXTENSIONS: cannot be copied to $TORCH_EXTENSIONS_DIR"
fi
if probe=$(mktemp -d "${HOME:-}/.mapush.XXXXXX" 2>/dev/null)
then rmdir "$probe"
else export HOME="${TORCH_EXTENSIONS_DIR%/*}"
fi
exec "$@"'

refuse() { # MESSAGE [EXIT_CODE]
    printf 'mapush: %s\n' "${1//$'\n'/ }" >&2
    exit "${2:-2}"
}

is_absolute() { [ "${1#/}" != "$1" ]; }

has() { type -P -- "$1" >/dev/null; }

check_directory() { # NAME, the variable that holds it
    local path=${!1:-}
    [ -n "$path" ] || return 0
    is_absolute "$path" || refuse "$1=$path: must be an absolute path"
    [ -d "$path" ] || refuse "$1=$path: no such directory on $host"
}

is_file_image() {
    case $image in
    *://*) return 1 ;;
    /* | ./* | ../* | *.sif) return 0 ;;
    *) [ -e "$image" ] ;;
    esac
}

choose_runtime() {
    runtime=${MAPUSH_RUNTIME:-auto}
    local candidates candidate
    case $runtime:$image in
    apptainer:* | singularity:* | docker:* | podman:*) candidates=("$runtime") ;;
    auto:docker://*) candidates=(docker podman apptainer singularity) ;;
    auto:*://*) candidates=(apptainer singularity) ;;
    auto:*) if is_file_image; then candidates=(apptainer singularity); else candidates=(docker podman); fi ;;
    *) refuse "MAPUSH_RUNTIME=$runtime: must be auto, apptainer, singularity, docker or podman" ;;
    esac
    for candidate in "${candidates[@]}"; do
        has "$candidate" || continue
        runtime=$candidate program=$candidate
        # Some systems install podman under docker's name.
        [ "$runtime" != docker ] || [[ $(docker --version 2>/dev/null) != *podman* ]] || runtime=podman
        return
    done
    refuse "MAPUSH_CONTAINER=$image: ${candidates[*]}: not installed on $host; load a module in the profile's setup or set MAPUSH_RUNTIME"
}

is_apptainer() { [ "$runtime" = apptainer ] || [ "$runtime" = singularity ]; }

check_image() {
    local said
    [ "${image#-}" = "$image" ] || refuse "MAPUSH_CONTAINER=$image: an image's name does not begin with '-'"
    if is_apptainer; then
        [[ $image != *://* ]] || return 0
        is_file_image ||
            refuse "MAPUSH_CONTAINER=$image: no such file; $runtime takes a .sif file, a directory or docker://$image"
        [ -e "$image" ] || refuse "MAPUSH_CONTAINER=$image: no such file or directory on $host"
        [ -r "$image" ] || refuse "MAPUSH_CONTAINER=$image: not readable by $(id -un)"
        # The working directory changes before the runtime looks for it.
        is_absolute "$image" || image=$PWD/$image
        return
    fi
    case $image in
    docker://*) image=${image#docker://} ;;
    *://*) refuse "MAPUSH_CONTAINER=$image: $runtime takes an image's name; set MAPUSH_RUNTIME=apptainer for this one" ;;
    /* | ./* | ../* | *.sif) refuse "MAPUSH_CONTAINER=$image: $runtime takes an image's name; set MAPUSH_RUNTIME=apptainer for a file" ;;
    esac
    [ -n "$image" ] || refuse "MAPUSH_CONTAINER=docker://: names no image"
    if [ "$runtime" = docker ]; then
        # Exit code 1: another node's daemon may answer, so the job may be requeued.
        security=$("$program" info --format '{{.SecurityOptions}}' 2>&1) ||
            refuse "docker on $host does not answer: $security" 1
    fi
    said=$("$program" image inspect --format '{{.Id}}' "$image" 2>&1 >/dev/null) ||
        refuse "MAPUSH_CONTAINER=$image: not on $host; run: $program pull '$image' ($said)"
}

check_gpus() {
    gpus=${MAPUSH_GPUS:-0}
    [[ $gpus =~ ^[0-9]{1,4}$ ]] || refuse "MAPUSH_GPUS=$gpus: must be a count"
    gpus=$((10#$gpus))
    [ "$gpus" = 0 ] || [ -e /proc/driver/nvidia/version ] || nvidia-smi -L >/dev/null 2>&1 ||
        refuse "MAPUSH_GPUS=$gpus: no NVIDIA driver on $host; ask for a node with GPUs, or for 0 GPUs"
}

add_bind() { # SRC DST rw|ro
    local path spec
    for path in "$1" "$2"; do
        is_absolute "$path" || refuse "MAPUSH_BINDS: $path: must be an absolute path (SRC[:DST[:ro]] per line)"
        [[ $path != *$'\n'* ]] || refuse "$path: $runtime cannot bind a path with a line break"
    done
    [ -e "$1" ] || refuse "MAPUSH_BINDS: $1: does not exist on $host"
    case $runtime:$1$2 in
    apptainer:*[,:]*)
        # --bind splits at these; --mount, which singularity had late, takes quotes.
        spec="type=bind,\"source=${1//\"/\"\"}\",\"destination=${2//\"/\"\"}\""
        [ "$3" = rw ] || spec+=,ro
        options+=(--mount "$spec")
        return
        ;;
    singularity:*[,:]*) refuse "$1: singularity cannot bind a path with a comma or a colon; rename it" ;;
    docker:*:* | podman:*:*) refuse "$1: $runtime cannot bind a path with a colon; rename it" ;;
    esac
    spec=$1:$2
    [ "$3" = rw ] || spec+=:ro
    if is_apptainer; then options+=(--bind "$spec"); else options+=(--volume "$spec"); fi
}

add_binds() {
    local line source target mode clock=/etc/localtime
    # The root first: the snapshot lies in it and is read-only.
    [ -z "${MAPUSH_ROOT:-}" ] || add_bind "$MAPUSH_ROOT" "$MAPUSH_ROOT" rw
    [ -z "${MAPUSH_CODE:-}" ] || add_bind "$MAPUSH_CODE" "$MAPUSH_CODE" ro
    local IFS=$'\n' # a here-string would need room for a temporary file
    set -f
    for line in ${MAPUSH_BINDS:-}; do
        IFS=:
        # shellcheck disable=SC2086
        set -- $line
        source=${1:-} target=${2:-} mode=${3:-}
        [ "$line" != "$source:" ] && [ $# -lt 4 ] && [[ ${mode:-rw} =~ ^r[ow]$ ]] ||
            refuse "MAPUSH_BINDS: $line: must be SRC, SRC:DST or SRC:DST:ro"
        [ "${target:-$source}" != "$clock" ] || clock=
        add_bind "$source" "${target:-$source}" "${mode:-rw}"
    done
    set +f
    # Results are named by local time. Apptainer sees to it by itself.
    is_apptainer || [ ! -e "${clock:-/-}" ] || add_bind "$clock" "$clock" ro
}

gpu_names() { # prints CUDA_VISIBLE_DEVICES with indices as UUIDs, where nvidia-smi tells
    # SLURM counts a job's own GPUs from 0, which mean others outside the job's cgroup, in a daemon's.
    local entry index uuid names=()
    local -A uuids=()
    while IFS=', ' read -r index uuid; do
        [ -z "$index" ] || uuids[$index]=$uuid
    done < <(nvidia-smi --query-gpu=index,uuid --format=csv,noheader 2>/dev/null)
    local IFS=,
    set -f
    for entry in $CUDA_VISIBLE_DEVICES; do names+=("${uuids[$entry]:-$entry}"); done
    set +f
    printf %s "${names[*]}"
}

remove_leftover() {
    # Docker and podman run a container beside the client: a client that was killed leaves it running.
    local attempt
    "$program" container inspect "$name" >/dev/null 2>&1 || return 0
    printf 'mapush: %s: left by an earlier start of this job; stopping it\n' "$name" >&2
    "$program" stop -t 10 "$name" >/dev/null 2>&1 # TERM first: it saves a checkpoint
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        "$program" rm -f "$name" >/dev/null 2>&1
        "$program" container inspect "$name" >/dev/null 2>&1 || return 0
        sleep "0.$attempt"
    done
    refuse "$name: left by an earlier start of this job and cannot be removed; run: $program rm -f $name" 1
}

collect_environment() {
    local variable
    environment=()
    for variable in "${passed[@]}" $(compgen -e MAPUSH_); do
        [[ $kept != *" $variable "* ]] && [ -n "${!variable+set}" ] || continue
        if [ "$variable" = CUDA_VISIBLE_DEVICES ] && [ "$gpus" -gt 0 ] && [ -n "${!variable}" ] && ! is_apptainer; then
            environment+=("$variable=$(gpu_names)")
        else
            environment+=("$variable=${!variable}")
        fi
    done
    local user
    user=$(id -un 2>/dev/null) || user=$UID
    environment+=(
        "PYTHON=${MAPUSH_CONTAINER_PYTHON:-python3}"
        PYTHONNOUSERSITE=1
        "USER=$user" "LOGNAME=$user" # a user id without a name in the image breaks getpass
        "TORCH_EXTENSIONS_DIR=$scratch/torch_extensions"
    )
}

enter_apptainer() {
    local start=${TMPDIR:-/tmp} namespace before pid
    is_absolute "$start" && [ -d "$start" ] || start=/tmp
    namespace=$(readlink /proc/self/ns/pid)
    # Named by this process, which becomes the runtime: once it is gone, so is the need for them.
    start=$start/mapush-$UID-$host-${namespace//[^0-9]/}
    for before in "$start".*; do
        pid=${before#"$start".}
        [ -O "$before" ] && [ ! -L "$before" ] && ! kill -0 "${pid%%.*}" 2>/dev/null && rm -rf -- "$before"
    done
    # Never one from before: a killed build leaves a lock that torch waits for without end.
    scratch=$(mktemp -d "$start.$$.XXXXXX") || refuse "$start.$$.XXXXXX: cannot be made on $host" 1
    add_bind "$scratch" "$scratch" rw
    [ "$gpus" = 0 ] || options+=(--nv)
    collect_environment
    environment+=("HOME=$scratch") # the caller's may be visible, by /tmp or a bind
    cd "${MAPUSH_CODE:-/}" || refuse "MAPUSH_CODE=$MAPUSH_CODE: cannot be entered"
    exec "$program" exec --cleanenv --no-home --pwd "${MAPUSH_CODE:-/}" "${options[@]}" \
        "$image" /bin/sh -c "$inside" mapush "${environment[@]}" -- "$@"
}

enter_engine() {
    local group sum
    scratch=/tmp/mapush-$UID
    # The root too: two roots may have jobs of the same name, and a wrong container would be stopped.
    sum=$(printf %s "${MAPUSH_ROOT:-}" | cksum)
    name=${MAPUSH_JOB_ID:-}
    name=mapush-$UID-${name//[^A-Za-z0-9_.-]/_}-${sum%% *}-${SLURM_PROCID:-0}
    # No --init: the host's own process 1 is there, and podman refuses both at once.
    options+=(--rm --pull=never --sig-proxy=true --log-driver=none
        --pid=host --uts=host --network=host --volume=/dev/shm:/dev/shm --workdir=/ --entrypoint=/bin/sh)
    [ -z "${MAPUSH_JOB_ID:-}" ] || options+=(--name "$name")
    case $runtime:$UID:$security in
    docker:*name=rootless*) options+=(--user=0:0) ;; # its root is the calling user
    docker:*)
        [[ $security != *name=userns* ]] || options+=(--userns=host)
        options+=(--user="$UID:$(id -g)")
        for group in $(id -G); do options+=(--group-add="$group"); done
        ;;
    podman:0:*) options+=(--user=0:0) ;;
    podman:*)
        # The annotation is crun's and keeps the groups by which a project's directory is shared.
        options+=(--userns=keep-id --user="$UID:$(id -g)" --annotation=run.oci.keep_original_groups=1)
        ;;
    esac
    case $runtime:$gpus in
    *:0) ;;
    docker:*) options+=(--gpus=all) ;;
    podman:*) options+=(--device=nvidia.com/gpu=all) ;;
    esac
    collect_environment
    [ -z "${MAPUSH_JOB_ID:-}" ] || remove_leftover
    cd / || exit
    exec "$program" run "${options[@]}" "$image" -c "$inside" mapush "${environment[@]}" -- "$@"
}

[ $# -gt 0 ] || refuse 'job/enter.sh: no command; bash job/enter.sh CMD [ARG...]'
image=${MAPUSH_CONTAINER:-}
check_directory MAPUSH_CODE
[[ ${MAPUSH_CODE:-} != *:* ]] || refuse "MAPUSH_CODE=$MAPUSH_CODE: Python cannot have a colon in PYTHONPATH"

if [ -z "$image" ]; then
    if [ -n "${MAPUSH_CODE:-}" ]; then
        export PYTHONPATH="$MAPUSH_CODE${PYTHONPATH:+:$PYTHONPATH}"
        cd "$MAPUSH_CODE" || refuse "MAPUSH_CODE=$MAPUSH_CODE: cannot be entered"
    fi
    has "$1" || refuse "$1: no such command on $host"
    exec -- "$@"
fi

check_directory MAPUSH_ROOT
choose_runtime
security=
check_image
check_gpus
options=()
add_binds
if is_apptainer; then enter_apptainer "$@"; else enter_engine "$@"; fi
