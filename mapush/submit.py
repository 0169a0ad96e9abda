"""Sends one training job off: `python -m mapush.submit --exp cuboid --wait`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from rich.console import Console

from mapush.arguments import Parser, given
from mapush.errors import EXIT_COMPLETE, RequestError, exit_with
from mapush.evaluation.ledger import FILE_NAME as SUCCESS_RATE
from mapush.evaluation.ledger import read_success_rates
from mapush.job.folder import JobFolder, JobRequest, Outcome, new_job_id
from mapush.job.follow import find_run, wait
from mapush.job.submission import submit
from mapush.learner.recipe import Recipe, build_recipe
from mapush.results.directory import find_by_job
from mapush.results.name import check_plain
from mapush.task import load_task, task_folder
from mapush.train import build_parser as trainer_parser
from mapush.training.settings import Settings, build_settings

DETACHED = 130  # what a shell says of a command that Ctrl-C ended: the job goes on
_RUN_SECONDS = 0.3  # a job whose run is there already shows it; a new one takes longer to start


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command and return its exit code."""
    options, passed = _parse(arguments)
    console = Console(file=sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    root = Path(options.root).absolute()
    request = _request(options, passed, root)
    place = JobFolder.of(root, request.job_id)
    for line in remarks(options.gpus):
        say(line)
    submit(place, request)
    cancel = f"kill $(cat {shlex.quote(str(place.path / 'pid'))})"
    say(f"job       {request.job_id}")
    say(f"output    {place.output}")
    say(f"follow    tail -F {shlex.quote(str(place.output))}")
    say(f"cancel    {cancel}")
    if not options.wait:
        run = find_run(root, request.job_id, _RUN_SECONDS)
        say(f"results   {run.results if run else _later(root, request.job_id)}")
        return EXIT_COMPLETE
    try:
        outcome = wait(place, root, request.job_id, console)
    except KeyboardInterrupt:
        say(f"\nthe job goes on; to end it: {cancel}")
        return DETACHED
    if outcome.exit_code != EXIT_COMPLETE:
        _explain(outcome, request, place)
        return outcome.exit_code
    for line in _achieved(root, request.job_id):
        say(line)
    return EXIT_COMPLETE


def _parser() -> Parser:
    parser = Parser(
        prog="mapush.submit",
        description="Send one training job off and return; it runs in the background of this "
        "machine and is started again if its trainer is killed.",
        epilog="Any other option of `python -m mapush.train` is passed on to it and wins over the "
        "value in the task's train.sh.",
    )
    parser.add_argument("--exp", required=True, help="experiment: a folder under task/ (required)")
    parser.add_argument(
        "--gpus",
        type=int,
        default=0,
        metavar="N",
        help="GPUs for the job, 0 or 1; the embedded simulator runs on the CPU (default: 0)",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="stay until the job ends, show its progress, and end with its exit code; Ctrl-C "
        "leaves the job running (default: return at once)",
    )
    parser.add_argument(
        "--root",
        default=os.environ.get("MAPUSH_ROOT") or ".",
        metavar="DIR",
        help="where results/ and log/ are (default: MAPUSH_ROOT or the working directory)",
    )
    parser.add_argument(
        "--cluster",
        choices=("local",),
        default="local",
        help="where the job runs: local is this machine (default: local)",
    )
    parser.add_argument(
        "--job-id",
        metavar="ID",
        help="go on with the run of an earlier job (default: a new job)",
    )
    return parser


def _parse(arguments: Optional[Sequence[str]]) -> Tuple[argparse.Namespace, List[str]]:
    return _parser().parse_known_args(arguments)


def _request(options: argparse.Namespace, passed: List[str], root: Path) -> JobRequest:
    """Validate what can be validated here, before anything is written."""
    folder = task_folder(options.exp)
    load_task(folder)
    script = folder / "train.sh"
    if not script.is_file():
        raise RequestError(f"{script}: is missing; a task folder holds config.py and train.sh")
    if options.gpus not in (0, 1):
        raise RequestError(f"--gpus {options.gpus}: this version trains on one at most; ask for 1")
    if shutil.which("bash") is None:
        raise RequestError("bash: not found, and train.sh needs it; install bash")
    trainer = trainer_parser().parse_args(passed)
    values = {"exp": options.exp, "exp_name": options.exp, **given(trainer, Settings)}
    check_plain("--exp_name", values["exp_name"])
    settings = build_settings(values)
    build_recipe(settings.recipe, given(trainer, Recipe))
    if trainer.checkpoint is not None and not trainer.checkpoint.exists():
        raise RequestError(f"--checkpoint {trainer.checkpoint}: is not there; name a module.pt")
    return JobRequest(
        job_id=options.job_id or new_job_id(),
        script=str(script.absolute()),
        arguments=("--root", str(root), *passed),
        root=str(root),
        gpus=options.gpus,
        devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def remarks(gpus: int) -> List[str]:
    """What a user may not expect of where the job runs."""
    lines = []
    if shutil.which("sbatch"):
        lines.append("sbatch is there, but this version runs jobs on this machine only")
    if gpus:
        there = "" if any(Path("/dev").glob("nvidia[0-9]*")) else "this machine has no GPU: "
        lines.append(
            f"{there}the embedded simulator runs on the CPU, --gpus {gpus} changes nothing"
        )
    return lines


def _later(root: Path, job_id: str) -> str:
    pattern = f"{shlex.quote(str(root / 'results'))}/*/run.yaml"
    return f"named within seconds; to see it: grep -l {job_id} {pattern}"


def _explain(outcome: Outcome, request: JobRequest, place: JobFolder) -> None:
    why = f"{outcome.reason}: {outcome.message}" if outcome.message else outcome.reason
    print(f"mapush: {why}", file=sys.stderr)  # noqa: T201
    print(  # noqa: T201
        f"all that was said is in {place.output}; to go on, submit again with "
        f"--job-id {request.job_id}",
        file=sys.stderr,
    )


def _achieved(root: Path, job_id: str) -> List[str]:
    run = find_by_job(root, job_id)
    if run is None:
        return []
    lines = [f"results   {run.results}"]
    entries = read_success_rates(run.current / SUCCESS_RATE)
    for entry in entries:
        lines += entry.text().splitlines()
    return lines


if __name__ == "__main__":
    exit_with(main)
