# shellcheck shell=bash
# The host side of a job on SLURM, sourced by its batch script: counts the starts, hands signals on,
# and requeues once what was interrupted. It runs in the batch shell because that lives on when a
# step or its processes are killed, and on the host because a container has no scontrol.
#
#   . job/batch.sh
#   mapush_begin FOLDER        FOLDER of the job; of an array's member, without its _<index>
#   srun ...                   the trainer
#   mapush_end "$?"            leaves the shell with the job's exit code
#
# Environment: MAPUSH_CODE, MAPUSH_ROOT, PYTHON, what job/enter.sh takes, and MAPUSH_MAX_FAILURES,
# MAPUSH_MAX_IDLE, MAPUSH_FAILURE_WAIT (see mapush/job/requeue.py), MAPUSH_REQUEUE (0: never).

MAPUSH_RUN_AGAIN=75 # the trainer has left a durable checkpoint
MAPUSH_REQUEUE_TRIES=90 # every 10 s: longer than any grace time before a preemption
MAPUSH_BLIND_RESTARTS=20 # where nobody can judge any more: restarts in all

mapush_say() {
    printf '[%(%m/%d/%y %H:%M:%S)T] job: %s\n' -1 "$*"
}

# Reads the job's state into mapush_state, mapush_restarts, mapush_preempted, mapush_end_time,
# mapush_timed_out.
mapush_look() {
    local shown start limit
    shown=$(mapush_ask 20 scontrol -o show job "$mapush_slurm_id" 2>&1) || return 1
    mapush_state=$(mapush_field JobState)
    mapush_restarts=$(mapush_field Restarts)
    [ -n "$mapush_state" ] && [ -n "$mapush_restarts" ] || return 1
    mapush_preempted=$(mapush_field PreemptTime)
    mapush_end_time=$(mapush_field EndTime)
    start=$(date -d "$(mapush_field StartTime)" +%s 2>/dev/null) || start=
    limit=$(mapush_seconds "$(mapush_field TimeLimit)")
    mapush_timed_out=0
    if [ -n "$start" ] && [ "$limit" -gt 0 ] && [ $(($(date +%s) - start)) -ge "$limit" ]; then
        mapush_timed_out=1
    fi
}

mapush_field() { # NAME; of the line in $shown
    local word
    for word in $shown; do
        case $word in "$1="*) echo "${word#*=}" && return ;; esac
    done
}

mapush_seconds() { # [DAYS-]HOURS:MINUTES:SECONDS; 0 for UNLIMITED
    if [[ $1 =~ ^(([0-9]+)-)?([0-9]+):([0-9]+):([0-9]+)$ ]]; then
        echo $((10#${BASH_REMATCH[2]:-0} * 86400 + 10#${BASH_REMATCH[3]} * 3600 + 10#${BASH_REMATCH[4]} * 60 + 10#${BASH_REMATCH[5]}))
    else
        echo 0
    fi
}

# Runs one of SLURM's commands for some seconds at most. SLURM ends a job by signalling the shell's
# children too, and just then they are asked what to do about it. timeout has handlers of its own, so
# what it starts no longer ignores what the shell ignores.
mapush_ask() { # SECONDS, COMMAND...
    # shellcheck disable=SC2016
    timeout --signal=KILL "$1" bash -c 'trap "" TERM INT && exec "$@"' ask "${@:2}"
}

mapush_begin() { # FOLDER
    MAPUSH_JOB_FOLDER=$1
    mapush_slurm_id=$SLURM_JOB_ID
    mapush_start=${SLURM_RESTART_COUNT:-0}
    if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
        # Its own number is that of the whole array for one of the members.
        mapush_slurm_id=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
        MAPUSH_JOB_FOLDER=${MAPUSH_JOB_FOLDER}_$SLURM_ARRAY_TASK_ID
    fi
    MAPUSH_JOB_ID=${MAPUSH_JOB_FOLDER##*/}
    MAPUSH_RUN_LINK=$MAPUSH_JOB_FOLDER/run
    MAPUSH_NODE=${SLURMD_NODENAME:-$(hostname)}
    mapush_stepper=
    local attempts=$MAPUSH_JOB_FOLDER/attempts.jsonl bytes=0 starts=0
    trap 'mapush_signal TERM' TERM
    trap 'mapush_signal INT' INT
    trap 'mapush_signal USR1' USR1
    trap 'mapush_signal USR2' USR2
    if [ ! -d "$MAPUSH_JOB_FOLDER" ]; then
        echo "mapush: $MAPUSH_JOB_FOLDER: is not there on $MAPUSH_NODE; does this node see it?" >&2
        exit 2
    fi
    [ ! -f "$attempts" ] || starts=$(grep -c '"event": "start"' "$attempts") || starts=${starts:-0}
    [ ! -f "$MAPUSH_JOB_FOLDER/job.log" ] || bytes=$(stat -c %s "$MAPUSH_JOB_FOLDER/job.log")
    # The starts of earlier submissions count too; a full disk may have kept some from being noted.
    MAPUSH_RESTART_COUNT=$((starts > mapush_start ? starts : mapush_start))
    export MAPUSH_JOB_FOLDER MAPUSH_JOB_ID MAPUSH_RUN_LINK MAPUSH_RESTART_COUNT
    printf '\n{"event": "start", "node": "%s", "slurm": "%s", "restart": %d, "log_bytes": %d}\n' \
        "$MAPUSH_NODE" "$mapush_slurm_id" "$mapush_start" "$bytes" >>"$attempts" ||
        mapush_say "this start could not be noted in $attempts"
    rm -f "$MAPUSH_JOB_FOLDER/outcome.json"
    mapush_say "start $((MAPUSH_RESTART_COUNT + 1)) on $MAPUSH_NODE, SLURM job $mapush_slurm_id, requeued $mapush_start times"
}

# A signal that comes to this shell alone is handed on to the step. If it is the end of the job, the
# requeue comes first: KILL follows TERM by 5 s, and judging may take longer on a busy node.
mapush_signal() { # NAME
    [ -n "$mapush_stepper" ] && mapush_look || return
    if [ "$mapush_state" = RUNNING ]; then
        scancel --signal="$1" "$mapush_slurm_id" &
    elif [ "$1" = TERM ] && [ "${MAPUSH_REQUEUE:-1}" != 0 ]; then
        mapush_judge_standing
        [ "$mapush_standing" != ours ] || mapush_requeue 0
    fi
}

# Runs the real srun so that signals are dealt with meanwhile: bash lets a trap wait for a command in
# the foreground. In the batch script this stands for `srun`.
srun() {
    local code
    command srun "$@" &
    mapush_stepper=$!
    wait "$mapush_stepper"
    code=$?
    while kill -0 "$mapush_stepper" 2>/dev/null; do
        wait "$mapush_stepper"
        code=$?
    done
    # A wait that a signal broke off as the step ended has not brought the step's own code.
    if [ "$code" -gt 128 ]; then
        wait "$mapush_stepper"
        case $? in 127) ;; *) code=$? ;; esac
    fi
    mapush_stepper=
    return "$code"
}

# How the job stands, in mapush_standing: `ours` to requeue, `requeued` by somebody, or `cancelled`.
mapush_stand() {
    local asked=0
    until mapush_look; do
        # Without an answer nothing can be requeued, and a job that ends now stays ended. At first
        # there may be only seconds.
        asked=$((asked + 1))
        [ "$asked" -gt 10 ] || { sleep 0.2 && continue; }
        mapush_say "SLURM does not say how the job stands; asking again"
        sleep 10
    done
    mapush_judge_standing
}

mapush_judge_standing() {
    mapush_standing=cancelled
    if [ "$mapush_restarts" -gt "$mapush_start" ]; then
        mapush_standing=requeued
    elif [ "$mapush_state" = RUNNING ] || [ "$mapush_timed_out" = 1 ]; then
        mapush_standing=ours
    elif [ "$mapush_preempted" != None ] && [ "$mapush_preempted" = "$mapush_end_time" ]; then
        # A partition that cancels what it preempts. Anybody's scancel looks the same but for this,
        # and a requeue would bring that job back.
        mapush_standing=ours
    fi
}

mapush_end() { # EXIT CODE OF srun
    local cancelled=0 word code wait
    # The step has ended. What is run from here on inherits this: SLURM ends a job by signalling the
    # shell's children too, and just then they are asked what to do about it.
    trap '' TERM INT USR1 USR2
    mapush_stand
    if [ "$mapush_standing" = requeued ]; then
        # srun's code says nothing here: it is 0 if slurmd was killed under it.
        mapush_say "the step has ended and SLURM has requeued the job"
        exit "$MAPUSH_RUN_AGAIN"
    fi
    [ "$mapush_standing" = ours ] || cancelled=1
    read -r word code wait <<<"$(mapush_judge "$1" "$cancelled")"
    [ "$word" != requeue ] || mapush_requeue "$wait"
    exit "$code"
}

# Says `done`, `requeue` or `stop`, the job's exit code, and seconds to wait before the next start.
mapush_judge() { # EXIT CODE, CANCELLED
    local options=() said
    [ "$2" = 0 ] || options+=(--cancelled)
    [ "${MAPUSH_REQUEUE:-1}" != 0 ] || options+=(--no-requeue)
    # shellcheck disable=SC2153  # the batch script exports it
    said=$(bash "$MAPUSH_CODE/job/enter.sh" bash -c 'exec "$PYTHON" -m mapush.job.settle "$@"' settle \
        --folder "$MAPUSH_JOB_FOLDER" --root "$MAPUSH_ROOT" --code "$1" \
        --max-failures "${MAPUSH_MAX_FAILURES:-10}" --max-idle "${MAPUSH_MAX_IDLE:-5}" \
        --failure-wait "${MAPUSH_FAILURE_WAIT:-60}" "${options[@]}")
    if [[ $said =~ ^(done|requeue|stop)\ [0-9]+\ [0-9]+$ ]]; then
        echo "$said"
        return
    fi
    mapush_say "the end of the trainer ($1) could not be judged" >&2
    case $1 in
        2 | 126 | 127) echo "stop $1 0" ;;
        *)
            if [ "$2" = 0 ] && [ "${MAPUSH_REQUEUE:-1}" != 0 ] && [ "$mapush_start" -lt "$MAPUSH_BLIND_RESTARTS" ]; then
                echo "requeue $(($1 > 0 ? $1 : 1)) 60"
            else
                echo "stop $(($1 > 0 ? $1 : 1)) 0"
            fi
            ;;
    esac
}

# Requeues once for this start, however often it is called and whoever else does.
mapush_requeue() { # SECONDS TO WAIT
    local marker=$MAPUSH_JOB_FOLDER/requeued-$mapush_slurm_id-$mapush_start said tried
    if ! mkdir "$marker" 2>/dev/null && [ -d "$marker" ]; then
        mapush_say "was requeued for this start already"
        return
    fi
    for ((tried = 1; tried <= MAPUSH_REQUEUE_TRIES; tried++)); do
        mapush_stand
        case $mapush_standing in
            requeued) mapush_say "requeued by SLURM" && return ;;
            cancelled) mapush_say "cancelled meanwhile, so not requeued" && return ;;
        esac
        if said=$(mapush_ask 60 scontrol requeue "$mapush_slurm_id" 2>&1); then
            # SLURM takes a time only once the job is requeued, and before it waits by itself.
            [ "$1" = 0 ] || mapush_ask 20 scontrol update "JobId=$mapush_slurm_id" "StartTime=now+$1"
            mapush_say "requeued"
            return
        fi
        # A job that ends here stays ended. If SLURM is about to preempt it, it requeues the job by
        # itself as long as the job stays.
        mapush_say "scontrol requeue: ${said##*: }; trying again"
        sleep 10
    done
    mapush_say "SLURM does not let the job be requeued; to go on: python -m mapush.submit --job-id $MAPUSH_JOB_ID"
}
