"""The walking policy, the actuator network and the Go1's description: where, and whether genuine.

They are Improbable AI's (walk-these-ways, MIT licence) and not part of mapush. The image build
fetches them; `python -m mapush.robots.assets --to DIR` does it anywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional

from mapush.arguments import command_line
from mapush.errors import EXIT_COMPLETE, RequestError, exit_with
from mapush.files import make_directory, write_atomically

REPOSITORY = "https://github.com/Improbable-AI/walk-these-ways"
COMMIT = "0e7236bdc81ce855cbe3d70345a7899452bdeb1c"
DEFAULT_DIRECTORY = Path("/opt/mapush/assets")
VARIABLE = "MAPUSH_ASSETS"

_CHECKPOINTS = "runs/gait-conditioned-agility/pretrain-v0/train/025417.456545/checkpoints"
BODY = f"{_CHECKPOINTS}/body_latest.jit"
ADAPTATION = f"{_CHECKPOINTS}/adaptation_module_latest.jit"
ACTUATOR = "resources/actuator_nets/unitree_go1.pt"
ROBOT = "resources/robots/go1/urdf/go1.urdf"
_MESHES = "resources/robots/go1/meshes"

# Path in the repository and under the directory -> git blob id.
FILES: Mapping[str, str] = {
    BODY: "952e3fb470c61e9df240ab542e037f4d6f9ce1af",
    ADAPTATION: "4513d87792c8f9b00a48911bfc494c17b201326b",
    ACTUATOR: "31b05a9c66744ad44bf5a9c35a4be3340d16c93c",
    ROBOT: "3f65d006b5f6424bac46a70cdb7f6ab3717d15ba",
    f"{_MESHES}/calf.stl": "3e8ac94d7e1cd6831fd27facf604b5d832193995",
    f"{_MESHES}/hip.stl": "ae590bfc874b9c6f65bd0280a33891015175cb65",
    f"{_MESHES}/thigh.stl": "353801bb05ff40db35bc93e53e15d510d158960d",
    f"{_MESHES}/thigh_mirror.stl": "11ef770c11e972aedfe15d3a16d0fb740a1da642",
    f"{_MESHES}/trunk.stl": "2659eb1c0ec2dca8bbbf3907ebaf2a536a1f7bba",
}


def blob_id(content: bytes) -> str:
    """The id that git gives a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Assets:
    """A directory whose files are all there and genuine."""

    directory: Path

    def __getitem__(self, path: str) -> Path:
        return self.directory / path


def find_assets(directory: Optional[Path] = None) -> Assets:
    """The assets in a directory, given or named by MAPUSH_ASSETS, each file verified.

    Raises:
        RequestError: a file is missing or is not the one it should be.
    """
    if directory is None:
        directory = Path(os.environ.get(VARIABLE) or DEFAULT_DIRECTORY)
    verify(directory, FILES)
    return Assets(directory)


def verify(directory: Path, files: Mapping[str, str]) -> None:
    """Make sure that a directory holds files by their git blob ids.

    Raises:
        RequestError: naming the first that is missing or other, and how to get it.
    """
    for path, expected in files.items():
        try:
            found = blob_id((directory / path).read_bytes())
        except OSError as error:
            raise RequestError(
                f"{directory / path}: cannot be read ({error.strerror}); Isaac Gym's robots walk "
                f"by it: {_how_to_get(directory)}"
            ) from None
        if found != expected:
            raise RequestError(
                f"{directory / path}: has git blob id {found[:12]}... and the one at commit "
                f"{COMMIT[:12]} is {expected[:12]}...: {_how_to_get(directory)}"
            )


def fetch(
    directory: Path,
    repository: str = REPOSITORY,
    commit: str = COMMIT,
    files: Optional[Mapping[str, str]] = None,
) -> List[str]:
    """Fetch the files of a commit that a directory lacks, and verify them before they appear.

    Returns:
        The paths that were fetched.

    Raises:
        RequestError: git is missing or cannot fetch, or a file is not the one it should be.
    """
    files = FILES if files is None else files
    lacking = [path for path, expected in files.items() if _id_of(directory / path) != expected]
    if not lacking:
        return []
    with tempfile.TemporaryDirectory() as scratch:
        _git(scratch, "init", "--quiet")
        _git(scratch, "remote", "add", "origin", repository)
        # Of the repository's history and its hundreds of megabytes, only these files.
        _git(scratch, "fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", commit)
        _git(scratch, "checkout", "--quiet", "FETCH_HEAD", "--", *lacking)
        verify(Path(scratch), {path: files[path] for path in lacking})
        for path in lacking:
            make_directory((directory / path).parent)
            write_atomically(directory / path, (Path(scratch) / path).read_bytes())
    verify(directory, files)
    return lacking


def _id_of(path: Path) -> Optional[str]:
    try:
        return blob_id(path.read_bytes())
    except OSError:
        return None


def _git(folder: str, *words: str) -> None:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise RequestError("git: is not installed and fetches the assets; install git") from None
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise RequestError(f"git {words[0]}: {reason:.300}; is the repository reachable from here?")


def _how_to_get(directory: Path) -> str:
    fetch_it = command_line("mapush.robots.assets", "--to", str(directory))
    return f"{fetch_it} fetches it, or set {VARIABLE} to a directory that has it"


def main(arguments: Optional[List[str]] = None) -> int:
    """Fetch, verify, say what was done."""
    parser = argparse.ArgumentParser(
        prog="mapush.robots.assets",
        description="Fetch the walking policy and the Go1's description (walk-these-ways, MIT "
        "licence) from their public repository at a pinned commit, and verify every file.",
    )
    parser.add_argument("--to", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    parser.add_argument("--repository", default=REPOSITORY, help="(default: %(default)s)")
    parser.add_argument(
        "--verify", action="store_true", help="fetch nothing, only say whether all is there"
    )
    parsed = parser.parse_args(arguments)
    if parsed.verify:
        verify(parsed.to, FILES)
        print(f"{parsed.to}: all {len(FILES)} files are genuine")  # noqa: T201
        return EXIT_COMPLETE
    fetched = fetch(parsed.to, parsed.repository)
    print(f"{parsed.to}: {len(fetched)} of {len(FILES)} files fetched, all genuine")  # noqa: T201
    return EXIT_COMPLETE


if __name__ == "__main__":
    exit_with(main)
