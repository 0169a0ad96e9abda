"""`python -m mapush.launch.accept DRAFT`: writes the request of a job that sbatch has started.

`sbatch slurm/train.sh` sends a job off before anybody has looked at what it asks for. Its
supervisor has this run first, in the user's own environment; what mapush.submit would refuse is
refused here, with the same line.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Optional

from mapush.arguments import Parser
from mapush.errors import EXIT_COMPLETE, RequestError, exit_with
from mapush.launch import snapshot
from mapush.launch.check import check_member, check_root, settled
from mapush.launch.jobs import JobFolder, submissions
from mapush.launch.node.folder import SLURM_ID
from mapush.launch.node.trainer import option
from mapush.launch.profile import load_profile, of_running_job
from mapush.launch.request import SLURM, CodeCopy, JobRequest


def main(words: Optional[List[str]] = None) -> int:
    """Check the request, copy the code, write job.json."""
    draft: Dict[str, Any] = json.loads((sys.argv[1:] if words is None else words)[0])
    parser = Parser(prog="mapush.train", add_help=False)
    parser.add_argument("--exp")
    parser.add_argument("--root")
    own, passed = parser.parse_known_args(draft["arguments"])
    if own.exp is None:
        raise RequestError("--exp is missing: sbatch slurm/train.sh --exp cuboid")
    arguments = settled(passed)
    if draft["index"] is not None and not option(arguments, "--seed"):
        print(f"--seed {draft['index']}, from the index in the array")  # noqa: T201
        arguments = (*arguments, "--seed", str(draft["index"]))
    check_root(Path(draft["root"]), for_sbatch=False)
    place = JobFolder(Path(draft["folder"]))
    asked, gpus = of_running_job(draft["asked"])
    given = {n: int(v) if str(v).isdecimal() else v for n, v in draft["profile"].items()}
    request = JobRequest(
        job_id=place.job_id,
        submitted=datetime.now().astimezone().isoformat(timespec="seconds"),
        cluster=SLURM,
        exp=own.exp,
        arguments=("--root", draft["root"], *arguments),
        root=draft["root"],
        code=CodeCopy(**draft["code"]),
        python=draft["python"],
        gpus=gpus,
        profile=load_profile(None, given, asked, has_started=True),
    )
    place.write(SLURM_ID, draft["slurm_id"])
    # At once, so that a job that is refused now stands in the list of runs.
    place.write_request(request)
    member = check_member(own.exp, arguments)
    code = snapshot.take(submissions(Path(draft["root"])) / "code", [member.task])
    place.write_request(request.model_copy(update={"code": code}))
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
