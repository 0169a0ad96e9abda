"""Sends training jobs off: `python -m mapush.submit --exp cuboid --gpus 1`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from rich.console import Console

from mapush.arguments import NUMBERS, Parser, add_root, command_line, unknown_option
from mapush.checkpoint.names import directory_name, step_of
from mapush.errors import EXIT_COMPLETE, RequestError
from mapush.evaluation.success_rates import FILE_NAME as SUCCESS_RATE
from mapush.evaluation.success_rates import read_success_rates
from mapush.launch.check import check_member, check_root, settled
from mapush.launch.follow import wait
from mapush.launch.jobs import JobFolder, find_job
from mapush.launch.node import slurm
from mapush.launch.notice import ended, sent
from mapush.launch.profile import DEFAULT, Profile, load_profile
from mapush.launch.profile_options import add_profile, profile_changes
from mapush.launch.request import LOCAL, SLURM, JobRequest
from mapush.launch.send import Member, Submission, dry_run, send
from mapush.runs import record
from mapush.runs.directory import RunDirectory
from mapush.runs.listing import find_by_job
from mapush.simulators import simulator_kind, uses_gpu
from mapush.training.config import SimulatorConfig
from mapush.training.options import build_parser as trainer_parser
from mapush.training.options import read_options

DETACHED = 130  # what a shell says of a command that Ctrl-C ended: the jobs continue
_AT_ONCE = 4  # members of an array on a cluster unless --max-running says otherwise
_CORES_PER_JOB = 2


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options, passed = parser.parse_known_args(arguments)
    trainer, unknown = trainer_parser().parse_known_args(passed)
    if unknown:
        raise unknown_option(unknown, parser, trainer_parser())
    read_options(trainer)  # as it was typed; in a job's options some of it is written otherwise
    console = Console(file=sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    submission = _submission(options, passed)
    if options.dry_run:
        sys.stdout.write(dry_run(submission))
        return EXIT_COMPLETE
    for line in _remarks(submission, options):
        say(line)
    places = send(submission)
    for line in sent(places, submission):
        say(line)
    if not options.wait:
        return EXIT_COMPLETE
    try:
        outcomes = wait(places, console)
    except KeyboardInterrupt:
        say("\nthe job continues; `cancel` above ends it")
        return DETACHED
    for place in places:
        outcome = outcomes[place.job_id]
        if outcome.exit_code != EXIT_COMPLETE:
            for line in ended(place, outcome):
                print(line, file=sys.stderr)  # noqa: T201
            continue
        for line in _achieved(submission.root, place.job_id):
            say(line)
    return max(outcome.exit_code for outcome in outcomes.values())


def _parser() -> Parser:
    parser = Parser(
        prog="mapush.submit",
        description="Send training jobs off and return: to SLURM where sbatch is there, else to "
        "the background of this machine. An interrupted trainer is started again until its run is "
        "complete.",
        epilog="Any other option of `python -m mapush.train` is passed on to it and wins over the "
        f"value in the task's train.sh. {NUMBERS}",
    )
    what = parser.add_argument_group("what to train")
    what.add_argument(
        "--exp", nargs="+", metavar="NAME", help="experiments: folders under task/ (required)"
    )
    what.add_argument(
        "--seeds", nargs="+", type=int, metavar="N", help="one run of each experiment per seed"
    )
    what.add_argument(
        "--job-id",
        metavar="JOB",
        help="submit an earlier job again, by its name or SLURM's id: it resumes its run with all "
        "that it asked for, of the cluster too; further options win",
    )
    what.add_argument(
        "--again",
        action="store_true",
        help="also if the same run is queued or running (default: that is refused)",
    )
    add_root(what)
    where = parser.add_argument_group("where and when")
    where.add_argument(
        "--cluster",
        choices=("auto", SLURM, LOCAL),
        default="auto",
        help="what runs the jobs; auto is slurm where sbatch is there (default: auto)",
    )
    where.add_argument("--gpus", type=int, metavar="N", help="GPUs per node, 0 or 1 (default: 0)")
    where.add_argument("--nodes", type=int, default=1, metavar="M", help="nodes (default: 1)")
    where.add_argument(
        "--max-running",
        type=int,
        metavar="N",
        help=f"how many of several runs train at once (default: {_AT_ONCE} on SLURM, one per "
        f"{_CORES_PER_JOB} cores on this machine)",
    )
    where.add_argument(
        "--after",
        nargs="+",
        default=(),
        metavar="JOB",
        help="start when these jobs are complete, given by name or SLURM's id",
    )
    how = parser.add_argument_group("how this command behaves")
    how.add_argument(
        "--wait",
        action="store_true",
        help="stay until the jobs end, show their progress, and end with their exit code; Ctrl-C "
        "leaves them running (default: return at once)",
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="print the batch script and what runs on the node, and do nothing",
    )
    add_profile(parser.add_argument_group("what to ask the cluster for"))
    return parser


def _submission(options: argparse.Namespace, passed: List[str]) -> Submission:
    """Check what can be checked here, before anything is written."""
    root = options.root.absolute()
    job = find_job(root, options.job_id) if options.job_id else None
    known = job.asked() if job is not None else None
    cluster = _cluster(options.cluster, known)
    check_root(root, for_sbatch=cluster == SLURM)
    gpus = options.gpus
    if gpus is None:
        gpus = (known.gpus if known is not None else 0) or 0
    if gpus not in (0, 1) or options.nodes != 1:
        raise RequestError(
            f"--gpus {gpus} --nodes {options.nodes}: a run trains on one GPU of one node "
            "at most; ask for several runs with --seeds or several --exp"
        )
    if shutil.which("bash") is None:
        raise RequestError("bash: not found, and train.sh needs it; install bash")
    at_once = options.max_running
    if at_once is None:
        at_once = _AT_ONCE if cluster == SLURM else max((os.cpu_count() or 1) // _CORES_PER_JOB, 1)
    if at_once < 1:
        raise RequestError(f"--max-running {at_once}: at least 1")
    changes = profile_changes(options)
    if job is not None and known is not None:
        members = [_again(options, job, known, settled(passed), root)]
        profile = load_profile(options.profile, changes, known.profile.model_dump())
        # Unless an option has taken back the one that it named.
        own = sys.executable if known.profile.python else known.python
        python = profile.python or own
    else:
        members = _members(options, settled(passed))
        profile = load_profile(options.profile or DEFAULT, changes)
        python = profile.python or sys.executable
    return Submission(
        root=root,
        members=tuple(members),
        profile=profile,
        cluster=cluster,
        python=python,
        gpus=gpus,
        at_once=at_once,
        after=tuple(options.after),
        job=job,
        again=options.again,
    )


def _cluster(wanted: str, known: Optional[JobRequest]) -> str:
    """What runs the jobs."""
    has_slurm = slurm.find("sbatch") is not None
    if wanted == "auto" and known is not None:
        wanted = known.cluster
    if wanted == "auto":
        return SLURM if has_slurm else LOCAL
    if wanted == SLURM and not has_slurm:
        raise RequestError("--cluster slurm: there is no sbatch here; submit on a login node")
    return wanted


def _again(
    options: argparse.Namespace,
    job: JobFolder,
    known: JobRequest,
    passed: Tuple[str, ...],
    root: Path,
) -> Member:
    """The run of an earlier job; further options win over those it had."""
    exps: List[str] = options.exp or []
    if options.seeds or (exps and exps != [known.exp]):
        raise RequestError(f"--job-id {options.job_id}: is one run, of --exp {known.exp}")
    own = known.arguments[2:] if known.arguments[:1] == ("--root",) else known.arguments
    run = find_by_job(root, job.job_id)
    if run is not None and passed:
        if run.read().status == record.COMPLETE:
            words = ("--exp", known.exp, *_but_its_start(own), *passed)
            raise RequestError(
                f"--job-id {options.job_id}: its run {run.name} is complete; to train on from it: "
                + command_line("mapush.submit", *words, *_from_the_last(run), root=root)
            )
        # Another request is another run, unless the run is named.
        passed = (*passed, "--run", run.name)
    return check_member(known.exp, (*own, *passed))


def _but_its_start(words: Sequence[str]) -> List[str]:
    """The trainer's options without those that say where it starts."""
    names = ("--run", "--checkpoint")
    pairs = zip(("", *words), words)
    return [w for before, w in pairs if w.partition("=")[0] not in names and before not in names]


def _from_the_last(run: RunDirectory) -> List[str]:
    """The option by which a run starts from the last checkpoint of another."""
    found = run.checkpoints.glob("*")
    steps = [step for step in (step_of(path.name) for path in found) if step is not None]
    name = directory_name(max(steps, default=0))
    return ["--checkpoint", str(run.checkpoints / name / "module.pt")]


def _members(options: argparse.Namespace, passed: Tuple[str, ...]) -> List[Member]:
    """The runs to train."""
    exps: List[str] = options.exp or []
    if not exps:
        raise RequestError("--exp is missing; see python -m mapush.submit --help")
    seeds: List[Tuple[str, ...]] = [("--seed", str(seed)) for seed in options.seeds or ()] or [()]
    words = {word.partition("=")[0] for word in passed}
    if options.seeds and "--seed" in words:
        raise RequestError("--seed and --seeds: give one of them")
    several = len(exps) * len(seeds) > 1
    if several and "--run" in words:
        raise RequestError("--run: only one job can resume a run; give one --exp and no --seeds")
    if len(exps) > 1 and "--exp_name" in words:
        raise RequestError("--exp_name: several --exp would get the same name; submit them apart")
    wanted = [(exp, seed) for exp in exps for seed in seeds]
    if len(set(wanted)) < len(wanted):
        raise RequestError("--exp, --seeds: one is given twice; each run is trained once")
    return [check_member(exp, (*passed, *seed)) for exp, seed in wanted]


def _remarks(submission: Submission, options: argparse.Namespace) -> List[str]:
    """What a user may not expect of where the jobs run."""
    lines = []
    if submission.gpus:
        words = list(submission.members[0].arguments)
        wanted = read_options(trainer_parser().parse_args(words)).options
        simulator = wanted.get("sim", SimulatorConfig().sim)
        if not uses_gpu(simulator):
            lines.append(
                f"--sim {simulator} runs on the CPU: --gpus {submission.gpus} changes nothing"
            )
        elif submission.cluster == LOCAL and not any(Path("/dev").glob("nvidia[0-9]*")):
            needs = simulator_kind(simulator).needs_gpu
            so = "needs one" if needs else "runs on the CPU: --gpus changes nothing"
            lines.append(f"this machine has no GPU, and --sim {simulator} {so}")
    asked = [name for name in vars(options) if name in _SLURM_ONLY]
    if submission.cluster == LOCAL and asked:
        flags = ", ".join(f"--{name[8:].replace('_', '-')}" for name in asked)
        lines.append(f"this machine runs the job itself: {flags} changes nothing")
    given = [f"{n}={v}" for n, v in sorted(os.environ.items()) if _is_for_sbatch(n)]
    if submission.cluster == SLURM and given:
        lines.append(
            f"not taken from the environment: {', '.join(given)}; the profile and the options say "
            "what the job asks for"
        )
    return lines


def _is_for_sbatch(name: str) -> bool:
    return name.startswith("SBATCH_") and slurm.is_foreign(name)


_EVERYWHERE = (
    *("container", "runtime", "binds", "python", "modules", "setup", "requeue"),
    *("max_failures", "max_idle", "failure_wait"),
)
_SLURM_ONLY = {f"profile_{name}" for name in Profile.model_fields if name not in _EVERYWHERE}


def _achieved(root: Path, job_id: str) -> List[str]:
    run = find_by_job(root, job_id)
    if run is None:
        return []
    lines = [f"results   {run.results}"]
    for entry in read_success_rates(run.current / SUCCESS_RATE):
        lines += entry.text().splitlines()
    return lines
