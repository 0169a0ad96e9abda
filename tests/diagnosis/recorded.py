"""What a real SLURM 22.05.8 printed, and what other programs did."""

from __future__ import annotations

from typing import Dict

CONFIG = """\
Configuration data as of 2026-11-23T21:10:38
AuthInfo                = socket=/run/munge/munge.socket.2,cred_expire=5
AuthType                = auth/munge
DisableRootJobs         = No
EnforcePartLimits       = NO
GresTypes               = gpu
JobRequeue              = 1
KillWait                = 5 sec
LogTimeFormat           = iso8601_ms
OverTimeLimit           = 0 min
PowerPlugin             = 
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
PreemptExemptTime       = 00:00:00
ProctrackType           = proctrack/pgid
RequeueExit             = (null)
RequeueExitHold         = (null)
SelectType              = select/cons_tres
SelectTypeParameters    = CR_CPU
SlurmctldHost[0]        = vm(127.0.0.1)
SlurmctldParameters     = preempt_send_user_signal
SlurmUser               = root(0)
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""  # noqa: W291 - as printed

PARTITIONS = """\
PartitionName=low AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES \
QoS=N/A DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=8 Hidden=NO \
MaxNodes=UNLIMITED MaxTime=UNLIMITED MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=n[1-3] \
PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE \
PreemptMode=REQUEUE State=UP TotalCPUs=24 TotalNodes=3 SelectTypeParameters=NONE \
JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED \
TRES=cpu=24,mem=12000M,node=3,billing=24
PartitionName=lowng AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO \
QoS=N/A DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO \
MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=n[1-3] \
PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE \
PreemptMode=REQUEUE State=UP TotalCPUs=24 TotalNodes=3 SelectTypeParameters=NONE \
JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED \
TRES=cpu=24,mem=12000M,node=3,billing=24
"""

NODES = """\
NodeName=n1 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=8 CPUTot=8 CPULoad=2.10 \
AvailableFeatures=avx,ib ActiveFeatures=avx,ib Gres=gpu:2 NodeAddr=127.0.0.1 NodeHostName=vm \
Port=18918 Version=22.05.8 OS=Linux 6.18.44-fc-v657 #1 SMP PREEMPT_DYNAMIC @0  RealMemory=4000 \
AllocMem=0 FreeMem=19237 Sockets=8 Boards=1 State=IDLE ThreadsPerCore=1 TmpDisk=0 Weight=1 \
Owner=N/A MCS_label=N/A Partitions=low,lowng  BootTime=2026-11-23T17:22:45 \
CfgTRES=cpu=8,mem=4000M,billing=8 AllocTRES= CapWatts=n/a ExtSensorsTemp=n/s
NodeName=n2 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=16 CPUTot=16 CPULoad=2.10 \
AvailableFeatures=(null) ActiveFeatures=(null) Gres=gpu:a100:4(S:0-1),nvme:1 NodeAddr=127.0.0.1 \
NodeHostName=vm Port=18919 Version=22.05.8 OS=Linux 6.18.44-fc-v657 #1 SMP PREEMPT_DYNAMIC @0  \
RealMemory=64000 AllocMem=0 FreeMem=19236 Sockets=8 Boards=1 State=MIXED ThreadsPerCore=1 \
Partitions=low,lowng  BootTime=2026-11-23T17:22:45 CfgTRES=cpu=16,mem=64000M,billing=16
NodeName=n3 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=64 CPUTot=64 CPULoad=2.10 \
AvailableFeatures=(null) ActiveFeatures=(null) Gres=(null) NodeAddr=127.0.0.1 NodeHostName=vm \
RealMemory=256000 State=DOWN*+DRAIN Partitions=low  BootTime=2026-11-23T17:22:45 \
Reason=taken out by hand, State=IDLE is to come [root@2026-11-23T17:22:45]
"""

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
25 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs devtmpfs rw,size=12341088k,mode=755
26 25 0:23 / /dev/shm rw,nosuid,nodev shared:3 - tmpfs tmpfs rw
30 22 0:40 / /home rw,relatime shared:9 - nfs4 server:/home rw,vers=4.2,hard,proto=tcp
31 22 0:41 / /data rw,relatime shared:9 - nfs server:/data rw,vers=3,soft,nolock
32 22 0:42 / /scratch rw,relatime - lustre 10.0.0.1@tcp:/scratch rw,flock
33 22 0:43 / /my\040disk rw - xfs /dev/sdb rw
34 22 0:44 / /laptop rw - fuse.sshfs me@there: rw
35 22 0:45 / /odd rw - oddfs odd rw
36 30 0:46 / /home/inner rw - ext4 /dev/sdc rw
37 30 0:47 / /home/inner rw - nfs4 server:/inner rw,hard
"""


def changed(record: Dict[str, str], **fields: str) -> Dict[str, str]:
    """A record with some other values."""
    return {**record, **fields}
