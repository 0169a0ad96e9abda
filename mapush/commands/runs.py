"""`python -m mapush.runs`: which runs there are, whether they are sound, what can go or leave."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from mapush.arguments import NUMBERS, Parser, add_root
from mapush.errors import EXIT_COMPLETE

_RUN = "results directory, live directory or name of a run, or the id of its job, SLURM's too"


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.runs",
        description="List the runs and the jobs that have none yet, newest first, or act on some "
        "runs. Exit code 0: done; 1: verify found damage; 2: the request is wrong.",
    )
    add_root(parser)
    parser.add_argument("--json", action="store_true", help="list them as JSON, with all figures")
    acts = parser.add_subparsers(dest="act", metavar="{show,verify,prune,export}")
    show = acts.add_parser("show", help="everything about one run")
    show.add_argument("run", metavar="RUN", help=_RUN)
    verify = acts.add_parser(
        "verify", help="load and check every checkpoint, its record and its task; changes nothing"
    )
    prune = acts.add_parser(
        "prune",
        help="delete the checkpoints that rules do not keep",
        description="Delete the checkpoints that rules do not keep, of runs that no process "
        "trains. The newest, the newest valid and those that another process needs always stay.",
        epilog=NUMBERS,
    )
    for several in (verify, prune):
        several.add_argument("run", nargs="+", metavar="RUN", help=_RUN)
    prune.add_argument(
        "--keep",
        required=True,
        metavar="RULES",
        help="all, or a list such as last=5,every=10000000,best=1,first (steps are environment "
        "steps; best is by success rate)",
    )
    prune.add_argument(
        "--dry-run", action="store_true", help="only show what would be deleted (default: delete)"
    )
    export = acts.add_parser(
        "export",
        help="write a checkpoint for OpenRL, or its policy for a robot",
        description="Write a checkpoint in another form. It is compared with the original on "
        "random observations before it is written, and the largest difference is printed.",
        epilog=NUMBERS,
    )
    export.add_argument("run", metavar="RUN_OR_CHECKPOINT", help=f"{_RUN}, or a module.pt")
    export.add_argument(
        "--format",
        required=True,
        choices=("openrl", "torchscript", "onnx"),
        help="openrl: the pickled module.pt that OpenRL 0.2.0's agent.load takes, with networks, "
        "value normaliser, optimisers and settings; with torch 2.6 and newer agent.load needs "
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 in the environment. torchscript, onnx: the "
        "deterministic policy from the observation to the action and the velocity command (m/s, "
        "m/s, rad/s), with the task's timing in its metadata",
    )
    export.add_argument(
        "--step",
        metavar="STEP",
        help="checkpoint of a run: last, best (by success rate) or its environment steps "
        "(default: last)",
    )
    export.add_argument(
        "--exp",
        metavar="NAME",
        help="task of a checkpoint that lies in no run (default: the run's own copy)",
    )
    export.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file to write, or an existing directory for it (default: "
        "exports/<run>/<checkpoint>/ with module.pt, policy.torchscript.pt or policy.onnx, "
        "under --root)",
    )
    export.add_argument(
        "--overwrite", action="store_true", help="replace the file if it is there (default: refuse)"
    )
    for each in (show, verify, prune, export):
        each.add_argument(
            "--root", type=Path, default=argparse.SUPPRESS, help="as before the subcommand"
        )
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse, do one thing, return the exit code."""
    parsed = build_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    if parsed.act == "export":
        from mapush.export.command import export

        export(
            parsed.root,
            parsed.run,
            parsed.format,
            parsed.step,
            parsed.exp,
            parsed.output,
            parsed.overwrite,
        )
        return EXIT_COMPLETE
    from mapush.views import detail, overview, prune, verify

    if parsed.act == "verify":
        return verify.verify_runs(parsed.root, parsed.run)
    if parsed.act == "show":
        detail.show_run(parsed.root, parsed.run)
    elif parsed.act == "prune":
        prune.prune_runs(parsed.root, parsed.run, parsed.keep, parsed.dry_run)
    else:
        overview.list_runs(parsed.root, parsed.json)
    return EXIT_COMPLETE
