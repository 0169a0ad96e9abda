"""Sends training jobs off: `python -m mapush.submit --exp cuboid --gpus 1`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from rich.console import Console

from mapush.arguments import NUMBERS, Parser, given, unknown_option
from mapush.commands.train import build_parser as trainer_parser
from mapush.errors import EXIT_COMPLETE, RequestError
from mapush.evaluation.ledger import FILE_NAME as SUCCESS_RATE
from mapush.evaluation.ledger import read_success_rates
from mapush.job import slurm
from mapush.job.dispatch import Member, Order, rehearse, send
from mapush.job.folder import JobFolder, find_job
from mapush.job.follow import wait
from mapush.job.notice import ended, sent
from mapush.job.profile import Profile, load_profile
from mapush.job.profile_options import add_profile, profile_changes
from mapush.job.request import LOCAL, SLURM
from mapush.learner.recipe import Recipe, build_recipe
from mapush.results.directory import find_by_job
from mapush.results.name import check_plain
from mapush.task import load_task, task_folder
from mapush.training.settings import Settings, build_settings

DETACHED = 130  # what a shell says of a command that Ctrl-C ended: the jobs go on
_AT_ONCE = 4  # members of an array on a cluster unless --max-running says otherwise
_CORES_PER_JOB = 2


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options, passed = parser.parse_known_args(arguments)
    _, unknown = trainer_parser().parse_known_args(passed)
    if unknown:
        raise unknown_option(unknown, parser, trainer_parser())
    console = Console(file=sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    order = _order(options, passed)
    if options.dry_run:
        sys.stdout.write(rehearse(order))
        return EXIT_COMPLETE
    for line in _remarks(order, options):
        say(line)
    places = send(order)
    for line in sent(places, order):
        say(line)
    if not options.wait:
        return EXIT_COMPLETE
    try:
        outcomes = wait(places, order.root, console)
    except KeyboardInterrupt:
        say("\nthe job goes on; `cancel` above ends it")
        return DETACHED
    for place in places:
        outcome = outcomes[place.job_id]
        if outcome.exit_code != EXIT_COMPLETE:
            for line in ended(place, outcome):
                print(line, file=sys.stderr)  # noqa: T201
            continue
        for line in _achieved(order.root, place.job_id):
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
        help="go on with the run of an earlier job, by its name or SLURM's id, with its options",
    )
    what.add_argument(
        "--again",
        action="store_true",
        help="also if the same run is queued or running (default: that is refused)",
    )
    what.add_argument(
        "--root",
        default=os.environ.get("MAPUSH_ROOT") or ".",
        metavar="DIR",
        help="where results/ and log/ are (default: MAPUSH_ROOT or the working directory)",
    )
    where = parser.add_argument_group("where and when")
    where.add_argument(
        "--cluster",
        choices=("auto", SLURM, LOCAL),
        default="auto",
        help="what runs the jobs; auto is slurm where sbatch is there (default: auto)",
    )
    where.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="GPUs per node, 0 or 1 (default: 0)"
    )
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
        help="print the batch script, or the command on this machine, and do nothing",
    )
    add_profile(parser.add_argument_group("what to ask the cluster for"))
    return parser


def _order(options: argparse.Namespace, passed: List[str]) -> Order:
    """Check what can be checked here, before anything is written."""
    root = Path(options.root).absolute()
    if ":" in str(root):
        raise RequestError(
            f"--root {str(root)!r}: Python cannot import from a path with a colon, and the job's "
            "code lies there; choose another directory"
        )
    cluster = options.cluster
    if cluster == "auto":
        cluster = SLURM if slurm.is_there() else LOCAL
    if cluster == SLURM and not slurm.is_there():
        raise RequestError("--cluster slurm: there is no sbatch here; submit on a login node")
    if options.gpus not in (0, 1) or options.nodes != 1:
        raise RequestError(
            f"--gpus {options.gpus} --nodes {options.nodes}: a run trains on one GPU of one node "
            "at most; ask for several runs with --seeds or several --exp"
        )
    if shutil.which("bash") is None:
        raise RequestError("bash: not found, and train.sh needs it; install bash")
    job, members = _members(options, _settled(passed, root), root)
    at_once = options.max_running
    if at_once is None:
        at_once = _AT_ONCE if cluster == SLURM else max((os.cpu_count() or 1) // _CORES_PER_JOB, 1)
    if at_once < 1:
        raise RequestError(f"--max-running {at_once}: at least 1")
    return Order(
        root=root,
        members=tuple(members),
        profile=load_profile(options.profile, profile_changes(options)),
        cluster=cluster,
        gpus=options.gpus,
        nodes=options.nodes,
        at_once=at_once,
        after=tuple(options.after),
        job=job,
        again=options.again,
    )


def _members(
    options: argparse.Namespace, passed: Tuple[str, ...], root: Path
) -> Tuple[Optional[JobFolder], List[Member]]:
    """The runs to train, and the earlier job if it is to go on."""
    exps: List[str] = options.exp or []
    job = find_job(root, options.job_id) if options.job_id else None
    if job is not None:
        known = job.request()
        if options.seeds or (exps and exps != [known.exp]):
            raise RequestError(f"--job-id {options.job_id}: is one run, of --exp {known.exp}")
        own = known.arguments[2:] if known.arguments[:1] == ("--root",) else known.arguments
        return job, [_member(known.exp, (*own, *passed))]
    if not exps:
        raise RequestError("--exp is missing; see python -m mapush.submit --help")
    seeds: List[Tuple[str, ...]] = [("--seed", str(seed)) for seed in options.seeds or ()] or [()]
    words = {word.partition("=")[0] for word in passed}
    if options.seeds and "--seed" in words:
        raise RequestError("--seed and --seeds: give one of them")
    several = len(exps) * len(seeds) > 1
    if several and "--run" in words:
        raise RequestError(
            "--run: only one job can go on with a run; give one --exp and no --seeds"
        )
    if len(exps) > 1 and "--exp_name" in words:
        raise RequestError("--exp_name: several --exp would get the same name; submit them apart")
    wanted = [(exp, seed) for exp in exps for seed in seeds]
    if len(set(wanted)) < len(wanted):
        raise RequestError("--exp, --seeds: one is given twice; each run is trained once")
    return None, [_member(exp, (*passed, *seed)) for exp, seed in wanted]


def _settled(passed: List[str], root: Path) -> Tuple[str, ...]:
    """The trainer's options with paths in full, since the job runs in a directory of its own."""
    words = list(passed)
    for index, word in enumerate(words):
        name, mark, value = word.partition("=")
        if name not in ("--checkpoint", "--run"):
            continue
        place = index if mark else index + 1
        if not mark and place == len(words):
            continue  # the trainer's parser says what is missing
        value = value if mark else words[place]
        if name == "--checkpoint" or Path(value).is_dir():
            full = str(Path(value).absolute())
            words[place] = f"{name}={full}" if mark else full
    return tuple(words)


def _member(exp: str, arguments: Tuple[str, ...]) -> Member:
    folder = task_folder(exp)
    load_task(folder)
    script = folder / "train.sh"
    if not script.is_file():
        raise RequestError(f"{script}: is missing; a task folder holds config.py and train.sh")
    trainer = trainer_parser().parse_args(list(arguments))
    values = {"exp": exp, "exp_name": exp, **given(trainer, Settings)}
    check_plain("--exp_name", values["exp_name"])
    settings = build_settings(values)
    build_recipe(settings.recipe, given(trainer, Recipe))
    if trainer.checkpoint is not None and not trainer.checkpoint.exists():
        raise RequestError(f"--checkpoint {trainer.checkpoint}: is not there; name a module.pt")
    return Member(exp, folder, arguments)


def _remarks(order: Order, options: argparse.Namespace) -> List[str]:
    """What a user may not expect of where the jobs run."""
    lines = []
    if order.gpus:
        there = ""
        if order.cluster == LOCAL and not any(Path("/dev").glob("nvidia[0-9]*")):
            there = "this machine has no GPU: "
        lines.append(
            f"{there}the embedded simulator runs on the CPU, --gpus {order.gpus} changes nothing"
        )
    asked = [name for name in vars(options) if name in _SLURM_ONLY]
    if order.cluster == LOCAL and asked:
        flags = ", ".join(f"--{name[8:].replace('_', '-')}" for name in asked)
        lines.append(f"this machine runs the job itself: {flags} changes nothing")
    return lines


_EVERYWHERE = (
    *("container", "runtime", "binds", "python"),
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
