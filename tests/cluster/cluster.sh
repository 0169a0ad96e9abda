#!/usr/bin/env bash
# A real SLURM cluster on this machine, for tests: munged, slurmctld and several slurmd on loopback,
# every file under one directory, nothing under /etc read or written, as root or as any other user.
#
#   cluster.sh up | down | status     start it; end it and all its jobs; say what runs
#   cluster.sh env                    eval "$(cluster.sh env)" before sbatch, squeue, scontrol
#   cluster.sh node n3                start a slurmd that has ended and take its node into use again
#
# Debian packages: slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge
set -u

root=${CLUSTER_ROOT:-${TMPDIR:-/tmp}/mapush-cluster-$(id -u)}
nodes=${CLUSTER_NODES:-8}                  # n1, n2, ...; n1 and n2 have the feature case1, n3 and n4 case2, ...
port=${CLUSTER_PORT:-26817}                # of slurmctld; the nodes take the ports after it
cpus=${CLUSTER_CPUS:-8}                    # of a node, whatever the machine has
memory=${CLUSTER_MEMORY:-64000}            # of a node in MB, whatever the machine has
gpus=${CLUSTER_GPUS:-2}                    # of a node; they are made up
grace=${CLUSTER_GRACE:-8}                  # GraceTime in s of the partitions low and lowcancel
user_signal=${CLUSTER_USER_SIGNAL:-1}      # 1: preemption sends the job's --signal; 0, as shipped: TERM
# A requeued job waits this long. Where a job may come back to a node that was set DOWN, take 12: its
# old step can live 8 s, and "Duplicate jobid" would drain the node.
requeue_delay=${CLUSTER_REQUEUE_DELAY:-5}
slurmd_timeout=${CLUSTER_SLURMD_TIMEOUT:-10}  # s without a word from a slurmd until its node is DOWN
max_time=${CLUSTER_MAX_TIME:-INFINITE}        # time limit of every partition
owner=${CLUSTER_OWNER:-}                      # process without which the cluster ends itself

user=$(id -un)
host=$(hostname -s)
export SLURM_CONF=$root/etc/slurm.conf
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

node_names() { seq -f 'n%.0f' "$nodes"; }

pid_of() { cat "$root/run/$1.pid" 2>/dev/null; }

daemon_of() { case $1 in n*) echo slurmd ;; *) echo "$1" ;; esac; }

lives() { # PID: also false for one that has ended and is not reaped
    [ -d "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null
}

runs() { # NAME: whether that daemon of this cluster is alive; a pid file alone proves nothing
    local pid
    pid=$(pid_of "$1")
    [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$(daemon_of "$1")" ] && lives "$pid"
}

until_true() { # TENTHS COMMAND...: whether the command succeeded within that time
    local tenths=$1
    shift
    for _ in $(seq "$((tenths * 2))"); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

write_configuration() {
    mkdir -p "$root"/{etc,run,log,state,munge,bin} || return 1
    chmod 755 "$root" "$root/munge"
    local name
    for name in $(node_names); do mkdir -p "$root/spool/$name"; done
    [ -s "$root/etc/munge.key" ] ||
        (umask 077 && head -c 1024 /dev/urandom >"$root/etc/munge.key") || return 1
    : >"$root/etc/plugstack.conf"
    : >"$root/etc/gres.conf"
    # A GPU is a character device to SLURM: any distinct ones do, plain files and bare counts do not.
    local devices=(/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty) chosen
    chosen=$(IFS=, && echo "${devices[*]:0:$gpus}")
    [ "$gpus" -gt 0 ] && echo "NodeName=n[1-$nodes] Name=gpu File=$chosen" >"$root/etc/gres.conf"
    slurm_conf >"$SLURM_CONF" && write_sacct
}

slurm_conf() {
    cat <<CONF
ClusterName=mapush
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$root/munge/munge.socket,cred_expire=$requeue_delay
CredType=cred/munge
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/run/slurmctld.pid
SlurmdPidFile=$root/run/%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/%n.log
PlugStackConfig=$root/etc/plugstack.conf
MailProg=/bin/true
# debug: the log then tells to the millisecond when a job was signalled
SlurmctldDebug=debug
SlurmdDebug=info
# pgid: linuxproc leaves children of the batch script behind
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
# 1: a node that was set DOWN stays so; one that only fell silent comes back with its slurmd
ReturnToService=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,bf_interval=1,batch_sched_delay=0
KillWait=5
MinJobAge=3600
SlurmdTimeout=$slurmd_timeout
SlurmctldTimeout=10
GresTypes=gpu
CONF
    [ "$user_signal" = 1 ] && echo SlurmctldParameters=preempt_send_user_signal
    local number
    for number in $(seq "$nodes"); do
        echo "NodeName=n$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + number)) CPUs=$cpus" \
            "RealMemory=$memory Gres=gpu:$gpus Feature=case$(((number + 1) / 2)) State=UNKNOWN"
    done
    local low="Nodes=ALL MaxTime=$max_time State=UP PriorityTier=1"
    cat <<CONF
PartitionName=low $low Default=YES PreemptMode=REQUEUE GraceTime=$grace
PartitionName=lowng $low PreemptMode=REQUEUE GraceTime=0
PartitionName=lowcancel $low PreemptMode=CANCEL GraceTime=$grace
PartitionName=lowcancelng $low PreemptMode=CANCEL GraceTime=0
PartitionName=high Nodes=ALL MaxTime=$max_time State=UP PriorityTier=10 PreemptMode=OFF
CONF
}

write_sacct() { # submitit asks sacct, which needs a database: answer it from squeue
    cat >"$root/bin/sacct" <<'SACCT'
#!/usr/bin/env bash
jobs=()
while [ $# -gt 0 ]; do
    [ "$1" = -j ] && jobs+=("$2") && shift
    shift
done
echo 'JobID|State|NodeList'
squeue -h -r -t all -j "$(IFS=, && echo "${jobs[*]}")" -o '%F|%K|%T|%N' 2>/dev/null |
    awk -F'|' '{ print ($2 == "N/A" ? $1 : $1 "_" $2) "|" $3 "|" $4 }'
SACCT
    chmod +x "$root/bin/sacct"
}

all_nodes_idle() { [ "$(sinfo -h -N -p high -o %t 2>/dev/null | grep -c '^idle$')" = "$nodes" ]; }

up() {
    write_configuration || return 1
    if ! runs munged; then
        rm -f "$root"/munge/munge.socket*
        munged --key-file="$root/etc/munge.key" --socket="$root/munge/munge.socket" \
            --pid-file="$root/run/munged.pid" --seed-file="$root/run/munged.seed" \
            --log-file="$root/log/munged.log" || return 1
    fi
    if ! runs slurmctld; then slurmctld -c || return 1; fi
    local name
    for name in $(node_names); do
        if ! runs "$name"; then slurmd -N "$name" || return 1; fi
    done
    if ! until_true 300 all_nodes_idle; then
        echo "cluster.sh: not every node came up:" >&2
        sinfo -N -l >&2
        return 1
    fi
    if [ -n "$owner" ]; then
        CLUSTER_ROOT=$root CLUSTER_NODES=$nodes setsid "$0" guard "$owner" </dev/null >/dev/null 2>&1 &
    fi
}

guard() { # PID: end the cluster when that process is gone, however it ended, and leave no file
    while lives "$1" && [ -d "$root/run" ]; do sleep 0.5; done
    [ ! -d "$root/run" ] || down
    rm -rf "$root"
}

job_processes() { # what jobs of this cluster have started, and their slurmstepd
    local directory
    for directory in /proc/[0-9]*; do
        tr '\0' '\n' 2>/dev/null <"$directory/environ" | grep -qx "SLURM_CONF=$SLURM_CONF" || continue
        if [ "$(cat "$directory/comm" 2>/dev/null)" = slurmstepd ] ||
            tr '\0' '\n' 2>/dev/null <"$directory/environ" | grep -q '^SLURM_JOB_ID='; then
            echo "${directory#/proc/}"
        fi
    done
}

no_jobs() { [ -z "$(timeout 5 squeue -h 2>/dev/null)" ]; }

ended() { ! runs "$1"; }

stop() { # NAME...: end these daemons, with force where they do not go
    local name
    for name in "$@"; do if runs "$name"; then kill "$(pid_of "$name")"; fi; done
    for name in "$@"; do until_true 50 ended "$name" || kill -9 "$(pid_of "$name")"; done
}

down() {
    if runs slurmctld; then
        timeout 10 scancel --full --signal=KILL -u "$user" >/dev/null 2>&1
        timeout 10 scancel -u "$user" >/dev/null 2>&1
        until_true 30 no_jobs
    fi
    local pid
    for pid in $(job_processes); do kill -9 "$pid" 2>/dev/null; done
    # shellcheck disable=SC2046  # a name has no spaces
    stop $(node_names) slurmctld munged
    rm -rf "$root"/{state,spool,run}
}

node() { # NAME
    if ! runs "$1"; then slurmd -N "$1" || return 1; fi
    # Where SLURM has taken it back by itself already, this is refused, which is fine.
    scontrol update NodeName="$1" State=RESUME 2>/dev/null
    until_true 100 node_is_up "$1"
}

node_is_up() { sinfo -h -N -n "$1" -p high -o %t 2>/dev/null | grep -qE '^(idle|mix|alloc|comp)$'; }

status() {
    local name code=0
    for name in munged slurmctld $(node_names); do
        if runs "$name"; then
            echo "$name up, process $(pid_of "$name")"
        else
            echo "$name down"
            code=1
        fi
    done
    return $code
}

case ${1:-} in
up | down | status) "$1" ;;
node | guard) "$1" "${2:?which one?}" ;;
env) echo "export SLURM_CONF=${SLURM_CONF@Q} PATH=${root@Q}/bin:\$PATH" ;;
*)
    sed -n 's/^#   //p' "$0" >&2
    exit 2
    ;;
esac
