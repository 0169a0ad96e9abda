"""What a real SLURM 22.05.8 printed."""

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


def changed(record: Dict[str, str], **fields: str) -> Dict[str, str]:
    """A record with some other values."""
    return {**record, **fields}
