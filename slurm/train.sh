#!/bin/bash
# One training job on any cluster, without the launcher. From the project's directory:
#
#   sbatch slurm/train.sh --exp cuboid [--root DIR] [any option of python -m mapush.train]
#   sbatch --partition preempt --gpus-per-node=1 --time=12:00:00 slurm/train.sh --exp cylinder
#   sbatch --array=1-3 slurm/train.sh --exp cuboid          # three runs, the index is the seed
#
# What sbatch is told on its own command line wins over the lines below. Environment:
#   PYTHON             Python of the nodes (default: .venv's, else python3)
#   MAPUSH_SETUP       shell lines to run first, such as `module load cuda`
#   MAPUSH_CONTAINER   image to train in; MAPUSH_RUNTIME, MAPUSH_BINDS: see job/enter.sh
#   MAPUSH_MAX_FAILURES, MAPUSH_MAX_IDLE   when to give up: see docs/cluster.md
#
#SBATCH --job-name=mapush
#SBATCH --output=mapush-%j.log
#SBATCH --open-mode=append
#SBATCH --time=1-00:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --requeue
#SBATCH --signal=USR2@90
set -u

refuse() {
    echo "mapush: $*" >&2
    exit 2
}

project=${SLURM_SUBMIT_DIR:-}
[ -n "${SLURM_JOB_ID:-}" ] || refuse "slurm/train.sh: is a batch script; send it with: sbatch slurm/train.sh --exp cuboid"
[ -f "$project/job/batch.sh" ] || refuse "$project: is not mapush's directory; run sbatch from there"

exp='' root=${MAPUSH_ROOT:-$project} seeded='' arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --exp | --root)
            [ $# -gt 1 ] || refuse "$1: needs a value"
            [ "$1" = --root ] && root=$2 || exp=$2
            shift
            ;;
        --exp=*) exp=${1#*=} ;;
        --root=*) root=${1#*=} ;;
        *)
            case $1 in --seed | --seed=*) seeded=yes ;; esac
            arguments+=("$1")
            ;;
    esac
    shift
done
[ -n "$exp" ] || refuse "--exp is missing: sbatch slurm/train.sh --exp cuboid"
[ -f "$project/task/$exp/train.sh" ] && [ -f "$project/task/$exp/config.py" ] ||
    refuse "--exp '$exp': there is no such task; there are: $(cd "$project/task" && echo */)"
case $root in /*) ;; *) root=$project/$root ;; esac
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$project/.venv/bin/python
    [ -x "$PYTHON" ] || PYTHON=python3
fi

# The job's folder bears SLURM's number. Numbers come round again, so a first start never takes a
# folder that is there; a restart takes the newest.
number=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}
member=${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
submitted=$root/log/submit
mkdir -p "$submitted" || refuse "$submitted: cannot be made on $(hostname); does this node see --root?"
folder=''
for each in "$submitted/slurm-$number" "$submitted/slurm-$number".*; do
    [ ! -d "$each$member" ] || folder=$each
done
if [ -z "$folder" ] || [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
    folder=$submitted/slurm-$number
    count=0
    until mkdir "$folder$member" 2>/dev/null; do
        [ -d "$folder$member" ] || refuse "$folder$member: cannot be made"
        count=$((count + 1))
        folder=$submitted/slurm-$number.$(printf %03d "$count")
    done
fi
echo "mapush: the log of this job is $folder$member/job.log"

# The code as it is at the first start, for all restarts.
code=$folder$member/code
if [ ! -d "$code" ]; then
    if ! { fresh=$(mktemp -d "$folder$member/.code-XXXXXX") && mkdir "$fresh/task" &&
        cp -r "$project/mapush" "$project/job" "$fresh/" && cp -r "$project/task/$exp" "$fresh/task/" &&
        mv "$fresh" "$code"; }; then
        rm -rf "$folder$member"
        refuse "$code: the code could not be copied there; is the disk full?"
    fi
fi
exec >>"$folder$member/job.log" 2>&1

set +u # the modules of many clusters read what is not set
eval "${MAPUSH_SETUP:-}"
tasks=${SLURM_NTASKS_PER_NODE:-1}
tasks=${tasks%%[!0-9]*}
export PYTHON PYTHONUNBUFFERED=1 PYTHONPATH=$code MAPUSH_CODE=$code MAPUSH_ROOT=$root
export MAPUSH_GPUS=$((${SLURM_GPUS_ON_NODE:-0} / tasks))
cd "$code" || refuse "$code: cannot be entered"
# shellcheck source=job/batch.sh
. job/batch.sh
mapush_begin "$folder"
if [ -n "$member" ] && [ -z "$seeded" ]; then
    mapush_say "--seed $SLURM_ARRAY_TASK_ID, from the index in the array"
    arguments+=(--seed "$SLURM_ARRAY_TASK_ID")
fi
srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    bash "$code/job/enter.sh" bash "$code/task/$exp/train.sh" --root "$root" "${arguments[@]}"
mapush_end "$?"
