"""Who is measured: a simulator in this checkout, or in that of another commit.

Every measurement runs in a process of its own, with the contender's checkout as working directory
and thus first on `sys.path`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List

from mapush.errors import RequestError

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Contender:
    """One column of a comparison.

    Attributes:
        name: its heading.
        tree: the checkout.
        sim: as `--sim` has it there.
    """

    name: str
    tree: Path
    sim: str

    def command(self, module: str, *words: str) -> List[str]:
        """A command that runs a module; it is to be started in `tree`."""
        return [sys.executable, "-m", module, *words]

    def train(self, exp: str, root: Path, *options: str) -> List[str]:
        """The command that trains in this simulator."""
        where = ("--exp", exp, "--sim", self.sim, "--root", str(root))
        return self.command("mapush.train", *where, *options)

    def ask(self, module: str, **request: Any) -> Dict[str, Any]:  # noqa: ANN401
        """What a measuring module answers: it is given JSON and prints JSON as its last line.

        Raises:
            RequestError: the measurement failed, with the last line that it said.
        """
        words = self.command(module, json.dumps({"sim": self.sim, **request}))
        done = subprocess.run(words, cwd=self.tree, capture_output=True, text=True, check=False)
        if done.returncode:
            raise failure(self, module, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])


def failure(contender: Contender, what: str, said: str) -> RequestError:
    """What to raise for a process that failed with `said` on its stderr."""
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    return RequestError(f"{contender.name}: {what}: {last}")


def present(sim: str) -> Contender:
    """A simulator in this checkout."""
    return Contender(sim, PROJECT, sim)


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A temporary working tree of a commit, with the benchmarks of this checkout in it.

    Raises:
        RequestError: there is no such commit here.
    """
    found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if found.returncode:
        raise RequestError(f"--against {commit!r}: no commit of the repository at {PROJECT}")
    with tempfile.TemporaryDirectory(prefix="mapush-against-") as folder:
        tree = Path(folder) / "tree"
        added = _git("worktree", "add", "--quiet", "--detach", str(tree), found.stdout.strip())
        try:
            if added.returncode:
                raise RequestError(f"--against {commit}: {added.stderr.strip().splitlines()[-1]}")
            shutil.rmtree(tree / "benchmarks", ignore_errors=True)
            shutil.copytree(PROJECT / "benchmarks", tree / "benchmarks")
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *words]
    try:
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RequestError("--against: needs git; install it") from None
