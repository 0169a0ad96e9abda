"""What `scontrol show job` prints of one job, by SLURM 20.11 to 25.05.

The form of 22.05 was seen on a real one (22.05.8). That of the others is from what clusters'
own guides and reports show of their jobs, and from the order in which SLURM's sources print the
lines; names and figures are made up. Where no such sample was to be found, the comment says that
the form is derived. Times are in UTC, in which `slurm.call` asks.
"""

from __future__ import annotations

# 20.11: one line TRES, a last line Power and often NtasksPerTRES behind it, GPUs as gres:gpu:N.
# A running member of an array, on a cluster that preempts.
V20_11 = """\
JobId=4712 ArrayJobId=4710 ArrayTaskId=2 ArrayTaskThrottle=2 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=10833 Nice=0 Account=lab42 QOS=normal
   JobState=RUNNING Reason=None Dependency=(null)
   Requeue=1 Restarts=3 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:10:33 TimeLimit=1-00:00:00 TimeMin=N/A
   SubmitTime=2026-03-22T22:18:50 EligibleTime=2026-03-22T22:20:51
   AccrueTime=2026-03-22T22:20:51
   StartTime=2026-03-22T22:20:55 EndTime=2026-03-23T22:20:55 Deadline=N/A
   PreemptEligibleTime=2026-03-22T22:20:55 PreemptTime=None
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-03-22T22:20:55
   Partition=preempt AllocNode:Sid=login-p01:34458
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=gpu001
   BatchHost=gpu001
   NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=2 ReqB:S:C:T=0:0:*:*
   TRES=cpu=2,mem=8G,node=1,billing=2,gres/gpu=1
   Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=*
   MinCPUsNode=2 MinMemoryNode=8G MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/data/my root/log/submit/03-22-22-18-50_cuboid/submission_file.sh
   WorkDir=/home/ada
   StdErr=/data/my root/log/submit/03-22-22-18-50_cuboid_2/job.log
   StdIn=/dev/null
   StdOut=/data/my root/log/submit/03-22-22-18-50_cuboid_2/job.log
   Power=
   TresPerNode=gres:gpu:1
   NtasksPerTRES:0

"""

# 21.08: as 20.11. A job that waits, and has asked for no time and for memory per core.
V21_08 = """\
JobId=119596 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=4294900906 Nice=0 Account=(null) QOS=normal WCKey=*default
   JobState=PENDING Reason=ReqNodeNotAvail,_UnavailableNodes:n15 Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:00:00 TimeLimit=Partition_Limit TimeMin=N/A
   SubmitTime=2026-03-22T14:26:52 EligibleTime=2026-03-22T14:26:52
   AccrueTime=2026-03-22T14:26:52
   StartTime=Unknown EndTime=Unknown Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-03-22T14:26:58
   Partition=low,high AllocNode:Sid=login2:2370157
   ReqNodeList=(null) ExcNodeList=n7
   NodeList=(null)
   NumNodes=1-1 NumCPUs=8 NumTasks=1 CPUs/Task=8 ReqB:S:C:T=0:0:*:*
   TRES=cpu=8,node=1,billing=8
   Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=*
   MinCPUsNode=8 MinMemoryCPU=400M MinTmpDiskNode=0
   Features=a100&ib DelayBoot=00:00:00
   Reservation=course_1
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s/job.log
   StdIn=/dev/null
   StdOut=/s/job.log
   Power=
   NtasksPerTRES:0

"""

# 22.05: the scheduler's name behind LastSchedEval. A job that has just been preempted.
V22_05 = """\
JobId=635 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=4294901755 Nice=0 Account=(null) QOS=(null)
   JobState=COMPLETING Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:15
   RunTime=00:00:24 TimeLimit=01:00:00 TimeMin=N/A
   SubmitTime=2026-02-02T13:26:24 EligibleTime=2026-02-02T13:26:24
   AccrueTime=2026-02-02T13:26:24
   StartTime=2026-02-02T13:26:25 EndTime=2026-02-02T13:26:49 Deadline=N/A
   PreemptEligibleTime=2026-02-02T13:26:25 PreemptTime=2026-02-02T13:26:49
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-02-02T13:26:25 Scheduler=Main
   Partition=low AllocNode:Sid=nas-8-0:449140
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=c-8-42
   BatchHost=c-8-42
   NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=2 ReqB:S:C:T=0:0:*:*
   TRES=cpu=2,mem=100M,node=1,billing=2
   Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=*
   MinCPUsNode=2 MinMemoryNode=100M MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s/job.log
   StdIn=/dev/null
   StdOut=/s/job.log
   Power=

"""

# 23.02: ReqTRES and AllocTRES for TRES. A job that has used up its time, of two nodes.
V23_02 = """\
JobId=956929 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=14128 Nice=0 Account=lab42 QOS=gpu-l40s-s
   JobState=TIMEOUT Reason=TimeLimit Dependency=(null)
   Requeue=1 Restarts=12 BatchFlag=1 Reboot=0 ExitCode=0:15
   RunTime=02:00:29 TimeLimit=02:00:00 TimeMin=N/A
   SubmitTime=2026-08-14T15:14:09 EligibleTime=2026-08-14T15:14:09
   AccrueTime=2026-08-14T15:14:09
   StartTime=2026-08-14T15:14:09 EndTime=2026-08-14T17:14:38 Deadline=N/A
   PreemptEligibleTime=2026-08-14T15:14:09 PreemptTime=None
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-08-14T15:14:09 Scheduler=Backfill
   Partition=l40s AllocNode:Sid=login4:29378
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=gpu-n[63-64]
   BatchHost=gpu-n63
   NumNodes=2 NumCPUs=16 NumTasks=2 CPUs/Task=8 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=16,mem=125G,node=2,billing=8,gres/gpu=4
   AllocTRES=cpu=16,mem=125G,node=2,billing=8,gres/gpu=4
   Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=*
   MinCPUsNode=8 MinMemoryCPU=8000M MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s/job.log
   StdIn=/dev/null
   StdOut=/s/job.log
   Power=
   TresPerNode=gres:gpu:l40s:2

"""

# 23.11: GPUs as gres/gpu:N, the cores of a task as TresPerTask. The second component of a
# heterogeneous job (its head is derived), without a time limit.
V23_11 = """\
JobId=4925681 HetJobId=4925680 HetJobOffset=1 JobName=mapush-cuboid
   HetJobIdSet=4925680-4925681
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=53686 Nice=0 Account=mila QOS=normal
   JobState=RUNNING Reason=None Dependency=(null)
   Requeue=1 Restarts=1 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:06:23 TimeLimit=UNLIMITED TimeMin=N/A
   SubmitTime=2026-06-23T21:45:57 EligibleTime=2026-06-23T21:45:57
   AccrueTime=Unknown
   StartTime=2026-06-23T21:45:57 EndTime=Unknown Deadline=N/A
   PreemptEligibleTime=2026-06-23T21:45:57 PreemptTime=None
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-06-23T21:45:57 Scheduler=Main
   Partition=long AllocNode:Sid=cn-c032:1910528
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=cn-c015
   BatchHost=cn-c015
   NumNodes=1 NumCPUs=4 NumTasks=1 CPUs/Task=4 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=4,mem=48G,node=1,billing=1,gres/gpu=1
   AllocTRES=cpu=4,mem=48G,node=1,billing=1,gres/gpu=1
   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*
   MinCPUsNode=4 MinMemoryNode=48G MinTmpDiskNode=0
   Features=x86_64 DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s/job.log
   StdIn=/dev/null
   StdOut=/s/job.log
   Power=
   TresPerNode=gres/gpu:rtx8000:1
   TresPerTask=cpu:4

"""
# 24.05: no Power, but StepMgrEnabled and OOMKillStep. Two members of one array as `show job ARRAY`
# gives them, the one that waits standing for all others.
V24_05 = """\
JobId=70 ArrayJobId=70 ArrayTaskId=3-5%2 ArrayTaskThrottle=2 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=1 Nice=0 Account=(null) QOS=normal
   JobState=PENDING Reason=JobArrayTaskLimit Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:00:00 TimeLimit=12:00:00 TimeMin=N/A
   SubmitTime=2026-07-10T15:52:53 EligibleTime=2026-07-10T15:52:53
   AccrueTime=2026-07-10T15:52:53
   StartTime=Unknown EndTime=Unknown Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-07-10T15:53:02 Scheduler=Backfill:*
   Partition=gpu AllocNode:Sid=10.244.5.5:1
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=
   StepMgrEnabled=Yes
   NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=2 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=2,mem=8G,node=1,billing=2,gres/gpu=1
   AllocTRES=(null)
   Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=*
   MinCPUsNode=2 MinMemoryNode=8G MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=NO Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s_%a/job.log
   StdIn=/dev/null
   StdOut=/s_%a/job.log
   OOMKillStep=0
   TresPerNode=gres/gpu:1
   TresPerTask=cpu=2

JobId=73 ArrayJobId=70 ArrayTaskId=2 ArrayTaskThrottle=2 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=1 Nice=0 Account=(null) QOS=normal
   JobState=RUNNING Reason=None Dependency=(null)
   Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:00:08 TimeLimit=12:00:00 TimeMin=N/A
   SubmitTime=2026-07-10T15:52:53 EligibleTime=2026-07-10T15:52:53
   AccrueTime=2026-07-10T15:52:53
   StartTime=2026-07-10T15:52:54 EndTime=2026-07-11T03:52:54 Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-07-10T15:52:54 Scheduler=Main
   Partition=gpu AllocNode:Sid=10.244.5.5:1
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=bridge-1
   BatchHost=bridge-1
   StepMgrEnabled=Yes
   NumNodes=1 NumCPUs=2 NumTasks=1 CPUs/Task=2 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=2,mem=8G,node=1,billing=2,gres/gpu=1
   AllocTRES=cpu=2,mem=8G,node=1,billing=2,gres/gpu=1
   Socks/Node=* NtasksPerN:B:S:C=1:0:*:* CoreSpec=*
   MinCPUsNode=2 MinMemoryNode=8G MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=NO Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s_2/job.log
   StdIn=/dev/null
   StdOut=/s_2/job.log
   OOMKillStep=0
   TresPerNode=gres/gpu:1
   TresPerTask=cpu=2

"""

# 24.11: as 24.05. A cancelled job whose texts look like fields (all free texts derived).
V24_11 = """\
JobId=88 JobName=mapush JobState=FAILED Restarts=9
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=80091 Nice=0 Account=lade QOS=normal
   JobState=CANCELLED Reason=None Dependency=(null)
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=01:25:37 TimeLimit=05:00:00 TimeMin=N/A
   SubmitTime=2026-02-04T10:17:17 EligibleTime=2026-02-04T10:17:17
   AccrueTime=Unknown
   StartTime=2026-02-04T10:17:17 EndTime=2026-02-04T11:42:54 Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-02-04T10:17:17 Scheduler=Main
   Partition=H100 AllocNode:Sid=10.128.6.80:2557711
   ReqNodeList=dgx[001-009] ExcNodeList=dgx004
   NodeList=dgx003
   BatchHost=dgx003
   NumNodes=1 NumCPUs=8 NumTasks=1 CPUs/Task=8 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=8,mem=80G,node=1,billing=8,gres/gpu=1,gres/gpu:h100=1
   AllocTRES=cpu=8,mem=80G,node=1,billing=8,gres/gpu=1,gres/gpu:h100=1
   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*
   MinCPUsNode=8 MinMemoryNode=80G MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) Network=(null)
   Command=/s/Requeue=0 Restarts=4 JobState=RUNNING/submission_file.sh
   WorkDir=/home/ada/NodeList=n9 TimeLimit=00:01:00
   AdminComment={"JobState":"RUNNING", "NumNodes=9": 1}
   Comment=my best one
   JobState=COMPLETED Reason=Fun
   Requeue=0 Restarts=7
   PreemptTime=2026-02-04T11:42:54
   StdErr=/s/job.log
   StdIn=/dev/null
   StdOut=/s/job.log
   OOMKillStep=0
   TresPerJob=gres/gpu:H100:1
   TresPerTask=cpu=8

"""

# 25.05: LicensesAlloc and SubmitLine. A complete job that may not be requeued.
V25_05 = """\
JobId=3640369 JobName=mapush-cuboid
   UserId=ada(1000) GroupId=lab(1000) MCS_label=N/A
   Priority=1575015 Nice=0 Account=lab42 QOS=normal
   JobState=COMPLETED Reason=None Dependency=(null)
   Requeue=0 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:22:19 TimeLimit=12:00:00 TimeMin=N/A
   SubmitTime=2026-03-08T21:57:17 EligibleTime=2026-03-08T21:57:17
   AccrueTime=2026-03-08T21:57:17
   StartTime=2026-03-08T22:04:20 EndTime=2026-03-08T22:26:39 Deadline=N/A
   SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-03-08T22:04:20 Scheduler=Main
   Partition=shared-cpu AllocNode:Sid=login1:1351239
   ReqNodeList=(null) ExcNodeList=(null)
   NodeList=cpu041
   BatchHost=cpu041
   NumNodes=1 NumCPUs=1 NumTasks=1 CPUs/Task=1 ReqB:S:C:T=0:0:*:*
   ReqTRES=cpu=1,mem=120G,node=1,billing=31
   AllocTRES=cpu=1,mem=120G,node=1,billing=31
   Socks/Node=* NtasksPerN:B:S:C=0:0:*:* CoreSpec=*
   MinCPUsNode=1 MinMemoryNode=0 MinTmpDiskNode=0
   Features=(null) DelayBoot=00:00:00
   OverSubscribe=OK Contiguous=0 Licenses=(null) LicensesAlloc=(null) Network=(null)
   Command=/s/submission_file.sh
   SubmitLine=sbatch --comment Requeue=1 /s/submission_file.sh
   WorkDir=/home/ada
   StdErr=/s/job.log
   StdIn=/dev/null
   StdOut=/s/job.log
   TresPerTask=cpu=1

"""
