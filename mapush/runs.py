"""`python -m mapush.runs`: which runs there are, whether they are sound, what of them can go."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from mapush.arguments import Parser, add_root
from mapush.errors import EXIT_COMPLETE, exit_with

_RUN = "results directory, live directory or name of a run, or the id of its job, SLURM's too"


def build_parser() -> Parser:
    """The command's options."""
    parser = Parser(
        prog="mapush.runs",
        description="List the runs, newest first, or act on some. Exit code 0: done; 1: verify "
        "found damage; 2: the request is wrong.",
    )
    add_root(parser)
    parser.add_argument("--json", action="store_true", help="list the runs as JSON")
    acts = parser.add_subparsers(dest="act", metavar="{show,verify,prune}")
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
    for each in (show, verify, prune):
        each.add_argument(
            "--root", type=Path, default=argparse.SUPPRESS, help="as before the subcommand"
        )
    return parser


def main(arguments: Optional[List[str]] = None) -> int:
    """Parse, do one thing, return the exit code."""
    parsed = build_parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    from mapush.overview import detail, listing, prune, verify

    if parsed.act == "verify":
        return verify.verify_runs(parsed.root, parsed.run)
    if parsed.act == "show":
        detail.show_run(parsed.root, parsed.run)
    elif parsed.act == "prune":
        prune.prune_runs(parsed.root, parsed.run, parsed.keep, parsed.dry_run)
    else:
        listing.list_runs(parsed.root, parsed.json)
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
