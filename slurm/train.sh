#!/bin/bash -p
# The batch script of every training job. mapush.submit sends it with a job's folder; without the
# launcher, from the project's directory:
#
#   sbatch slurm/train.sh --exp cuboid [--root DIR] [any option of python -m mapush.train]
#   sbatch --partition preempt --gpus-per-node=1 --time=12:00:00 slurm/train.sh --exp cylinder
#   sbatch --array=1-3 slurm/train.sh --exp cuboid          # three runs, the index is the seed
#
# What sbatch is told on its own command line wins over the lines below. Memory is the cluster's
# default, since --mem here would forbid --mem-per-cpu there. Environment:
#   PYTHON             Python of the nodes (default: .venv's, else python3)
#   MAPUSH_SETUP       shell lines to run first, such as `module load cuda`
#   MAPUSH_CONTAINER   image to train in; MAPUSH_RUNTIME, MAPUSH_BINDS: see job/enter.sh
#   MAPUSH_MAX_FAILURES, MAPUSH_MAX_IDLE, MAPUSH_FAILURE_WAIT   when to give up: docs/cluster.md
#
#SBATCH --job-name=mapush
#SBATCH --output=mapush-%j.log
#SBATCH --open-mode=append
#SBATCH --time=1-00:00:00
#SBATCH --nodes=1
#SBATCH --mincpus=2
#SBATCH --requeue
#SBATCH --signal=USR2@90

# -p: bash reads no start-up file and takes no function or option from the environment. What follows
# only becomes the supervisor, by the node's own Python and with nothing of the user's in its way.
[[ $- == *p* ]] || exec /bin/bash -p "$0" "$@"
trap '' TERM INT USR1 USR2
refuse() {
    printf 'mapush: %s\n' "$*" >&2
    exit 2
}
[ -n "${SLURM_JOB_ID:-}" ] || refuse "slurm/train.sh: is a batch script; send it with: sbatch slurm/train.sh --exp cuboid"
if [ "${1:-}" = --job ]; then
    code=$3 PYTHON=${4:-}
    set -- --job "$2"
else
    code=${SLURM_SUBMIT_DIR:-}
    set -- --project "$code" "$@"
fi
start=$code/mapush/launch/node/start.py
host=$(</proc/sys/kernel/hostname)
for _ in 1 2 3 4; do [ -r "$start" ] || sleep 1; done # a network file system may show it late
[ -r "$start" ] || refuse "$start: is not there on $host; sbatch mapush's script from its own directory, one that the nodes see"
for name in LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT; do
    [ -z "${!name+set}" ] || export "MAPUSH_KEPT_$name=${!name}"
    unset "$name"
done
for python in /usr/bin/python3 /usr/libexec/platform-python /usr/local/bin/python3 "$(type -P python3)" "${PYTHON:-}" "$code/.venv/bin/python"; do
    if "$python" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then
        exec "$python" -I -S -B "$start" supervise "$@"
    fi
done
refuse "no Python 3.6 or newer on $host (looked for python3 in /usr/bin, /usr/libexec, /usr/local/bin, PATH, and PYTHON); ask for one, or set PYTHON"
