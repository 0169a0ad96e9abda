"""Sites and shells that are against it: from where a job is submitted, and what runs around it."""

from __future__ import annotations

import dataclasses
import shlex
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Sequence, Tuple

from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.scenario import References, Result, alone, ended, judge, same_weights
from tests.cluster.training_job import FORMS, SBATCH, SETTINGS, STEPS, TrainingJob, start
from tests.support import PROJECT

Story = Callable[[str, Cluster, Path, References], Result]

# What SLURM sets for its jobs and its commands read, with values of another job or another taste.
VARIABLES: Mapping[str, str] = {
    "SLURM_MEM_PER_CPU": "500",
    "SLURM_NTASKS": "4",
    "SLURM_NPROCS": "4",
    "SLURM_CPUS_PER_TASK": "3",
    "SLURM_CPUS_ON_NODE": "64",
    "SLURM_JOB_NUM_NODES": "8",
    "SLURM_NNODES": "8",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_ARRAY_JOB_ID": "2",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_RESTART_COUNT": "4",
    "SLURM_GPUS_ON_NODE": "4",
    "SLURM_EXPORT_ENV": "NONE",
    "SLURM_EXIT_ERROR": "0",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_DISTRIBUTION": "plane=4",
    "SRUN_CPUS_PER_TASK": "64",
    "SQUEUE_FORMAT": "%j",
    "SQUEUE_STATES": "COMPLETED",
    "SCANCEL_NAME": "nobody",
    "SCONTROL_ALL": "1",
    "CUDA_VISIBLE_DEVICES": "7",
    "MAPUSH_JOB_ID": "another",
    "MAPUSH_JOB_OF": "1",
    "MAPUSH_RESTART_COUNT": "3",
}
# What sbatch itself takes over the lines of a script; the launcher does not hand it on.
FOR_SBATCH: Mapping[str, str] = {
    "SBATCH_NO_REQUEUE": "1",
    "SBATCH_PARTITION": "high",
    "SBATCH_MEM_PER_CPU": "1",
    "SBATCH_ARRAY_INX": "0-3",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_OPEN_MODE": "truncate",
}


@dataclasses.dataclass(frozen=True)
class Site:
    """From where a job is submitted."""

    parent: Sequence[str] = ()
    """Options of the sbatch job from inside which that is done; empty outside any."""
    requeued: bool = False
    """Whether that job is requeued first."""
    salloc: bool = False
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    for_sbatch: Sequence[str] = ()
    """Further options of sbatch."""


SITES: Dict[str, Tuple[Site, Sequence[str]]] = {
    "from inside a job": (Site(["--mem=200M"]), FORMS),
    "from inside a requeued job": (Site(["--ntasks=2"], requeued=True), FORMS),
    "from inside an array member": (Site(["--array=7"]), FORMS),
    "from an allocation": (Site(salloc=True), FORMS),
    "with another job's variables": (Site(variables=VARIABLES), FORMS),
    "with sbatch's variables": (Site(variables=FOR_SBATCH), FORMS[:1]),
    "with --export=NONE": (Site(for_sbatch=["--export=NONE"]), (SBATCH,)),
    "with --mem-per-cpu": (Site(for_sbatch=["--mem-per-cpu=400M"]), (SBATCH,)),
    "with --cpus-per-gpu": (Site(for_sbatch=["--gpus=1", "--cpus-per-gpu=2"]), (SBATCH,)),
}


def on_site(site: Site, form: str, cluster: Cluster, root: Path, references: References) -> Result:
    """Submit from there, interrupt once, and see it complete as if nothing had been."""
    with cluster.pair() as constraint, ended(root):
        inside = _Inside(cluster, site, root.parent / f"{root.name}-parent", constraint)
        launcher = list(site.for_sbatch)
        job = start(cluster, form, root, constraint, launcher=launcher, run=inside.run)
        result = _interrupted_once(job, cluster, references)
        parents = [cluster.restarts(each) for each in inside.jobs]
        if parents != [int(site.requeued)] * len(inside.jobs):
            result.problems.append(f"the job it was submitted from was requeued {parents} times")
        return result


SHELLS: Dict[str, List[str]] = {
    "strict shell": ["set -euo pipefail", "set -o noclobber"],
    "shell with traps and aliases": [
        "trap 'echo bye; exit 0' EXIT",
        "trap '' TERM USR1 USR2 INT",
        "srun() { :; }; scontrol() { :; }",
        "export PATH=/usr/bin LC_ALL=xx_YY TMPDIR=/proc/nowhere",
        "\\exec >/dev/null 2>&1",
        "shopt -s expand_aliases; alias exec=false bash=false",
    ],
}


def in_shell(
    lines: List[str], form: str, cluster: Cluster, root: Path, references: References
) -> Result:
    """Run such lines first, below a start-up file that prints and fails; interrupt once."""
    with cluster.pair() as constraint, ended(root):
        root.mkdir(parents=True)
        startup = root / "startup"
        startup.write_text("echo hello; echo there >&2; set -e; trap 'exit 3' EXIT TERM\n")
        environment = {"BASH_ENV": str(startup), "ENV": str(startup)}
        launcher: List[str] = []
        if form == SBATCH:
            environment["MAPUSH_SETUP"] = "\n".join(lines)
        else:
            launcher = ["--setup", *lines]
        run = partial(cluster.run, **environment)
        job = start(cluster, form, root, constraint, launcher=launcher, run=run)
        return _interrupted_once(job, cluster, references)


def three_seeds_in_one_script(
    form: str, cluster: Cluster, root: Path, references: References
) -> Result:
    """A script of the user's own trains one after the other and is requeued in the second."""
    root.mkdir(parents=True)
    trainer = shlex.join(["python", "-m", "mapush.train", "--exp", "cuboid", *SETTINGS])
    trainer += f" --train_timesteps {STEPS} --root {shlex.quote(str(root))}"
    script = root / "seeds.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --requeue\n#SBATCH --cpus-per-task=2\n"
        f"for seed in 1 2 3; do srun {trainer} --seed $seed || exit; done\n"
    )
    with cluster.pair() as constraint, ended(root):
        options = [
            f"--constraint={constraint}",
            f"--output={root}/slurm-%j.log",
            "--open-mode=append",
        ]
        number = cluster.run("sbatch", "--parsable", *options, str(script)).strip()
        job = TrainingJob(cluster, root, number, form)
        wait_for("the second seed", lambda: _checkpoints(root) > 0 and len(job.runs()) == 2, 120)
        cluster.run("scontrol", "requeue", number)
        state = job.await_end(180)
        problems: List[str] = []
        if state != "COMPLETED":
            problems.append(f"state: {state}")
        identical = True
        for seed in (1, 2, 3):
            own = [
                path
                for path in job.runs()
                if f"\nseed: {seed}\n" in (path / "run.yaml").read_text()
            ]
            if len(own) != 1:
                problems.append(f"seed {seed}: {len(own)} runs among {job.runs()}")
                continue
            name = f"checkpoints/rl_model_{STEPS}_steps/module.pt"
            same = (own[0] / name).is_file() and same_weights(
                own[0] / name, references.module(STEPS, seed)
            )
            identical = identical and same
            if not same:
                problems.append(f"seed {seed}: {own[0]} is not as without interruption")
        if problems:
            logs = sorted(root.glob("slurm-*.log"))
            problems += [path.read_text(errors="replace")[-3000:] for path in logs]
        return Result(state, cluster.restarts(number), [], identical, problems)


HOSTILE: Dict[str, Tuple[Story, Sequence[str], str]] = {
    **{name: (partial(on_site, site), forms, "stock") for name, (site, forms) in SITES.items()},
    **{name: (partial(in_shell, lines), FORMS, "stock") for name, lines in SHELLS.items()},
    "three seeds in one batch script": (three_seeds_in_one_script, (SBATCH,), "stock"),
}
"""What it does, in which forms, on which cluster."""


class _Inside:
    """Runs a command as the site has it."""

    def __init__(self, cluster: Cluster, site: Site, place: Path, constraint: str) -> None:
        self.jobs: List[str] = []
        self._cluster, self._site, self._place = cluster, site, place
        self._constraint = f"--constraint={constraint}"

    def run(self, *command: str) -> str:
        """What a command prints."""
        site = self._site
        if site.salloc:
            options = ["--quiet", "--ntasks=2", "--mem=300M", self._constraint]
            return self._cluster.run("salloc", *options, *command)
        if not site.parent:
            return self._cluster.run(*command, **site.variables)
        self._place.mkdir()
        script, done = self._place / "parent.sh", self._place / "done"
        requeue = '[ -n "${SLURM_RESTART_COUNT:-}" ] || { scontrol requeue "$own"; sleep 60; }'
        script.write_text(
            "#!/bin/bash\n"
            "own=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}\n"
            "own=${own:-$SLURM_JOB_ID}\n"
            f"{requeue if site.requeued else ':'}\n"
            f"cd {shlex.quote(str(PROJECT))}\n"
            f"here={shlex.quote(str(self._place))}\n"
            f'{shlex.join(command)} >"$here/said" 2>&1\n'
            'echo $? >"$here/new" && mv "$here/new" "$here/done"\n'
        )
        options = ["--parsable", "--output=/dev/null", "--requeue", self._constraint, *site.parent]
        number = self._cluster.run("sbatch", *options, str(script)).strip()
        self.jobs.append(f"{number}_7" if "--array=7" in site.parent else number)
        wait_for("the parent job's submission", done.exists, 90)
        said = (self._place / "said").read_text()
        assert done.read_text().strip() == "0", said
        return said


def _interrupted_once(job: TrainingJob, cluster: Cluster, references: References) -> Result:
    job.await_training()
    begun = time.time()
    cluster.run("scancel", "--signal=USR1", job.id)
    costs = [job.interruption(1, begun)]
    state = job.await_end()
    return alone(job, judge(job, state, costs, ("SIGUSR1",), references.module(), 1, 1))


def _checkpoints(root: Path) -> int:
    """How many there are in live directories: of the one run that trains now."""
    return len(list(root.glob("log/MQE/*/*/checkpoints/rl_model_*_steps")))
