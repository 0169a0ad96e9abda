"""The image with MuJoCo, built and run by podman: as a user would, killed, and gone on with."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import List

import building
import pytest
import small_training
from worlds import World

from mapush.launch import snapshot
from tests.support import PROJECT, SMALL

# As docs/container.md has it: the host's process ids tell at once that an owner is dead.
SHARED = ("--pid=host", "--uts=host")


def command(engine: World, image: str, root: Path, *options: str) -> List[str]:
    """A small training in a container, with a results directory of the host."""
    as_caller = f"--user={os.getuid()}:{os.getgid()}"
    mounted = f"--volume={root}:/out"
    return ["podman", "run", "--rm", as_caller, mounted, *SHARED, image, *SMALL, *options]


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_run_whose_container_is_stopped_goes_on_in_a_new_one_to_the_bit(
    signal: str, engine: World, image: str, tmp_path: Path, uninterrupted: Path
) -> None:
    words = command(engine, image, tmp_path)
    words[2:2] = ["--name=victim", "--env=MAPUSH_JOB_ID=job-1"]
    with small_training.watched(words, building.surroundings(engine)) as victim:
        small_training.wait_for_step(victim, tmp_path, 1200)
        building.podman(engine, "kill", f"--signal={signal}", "victim")
        assert victim.wait(small_training.SECONDS) == (137 if signal == "KILL" else 75)
    again = building.run(words, env=building.surroundings(engine))
    assert again.returncode == 0, again.stderr
    assert "resum" in again.stdout
    small_training.assert_same_run(tmp_path, uninterrupted)


def test_an_image_that_is_built_again_is_the_cached_one(
    engine: World, image: str, base: str, context: Path, packages: building.Packages
) -> None:
    command = building.make_image(context, base, "mujoco", *packages.binds)
    said = building.succeed(command, env=building.surroundings(engine))
    steps = said.count("] STEP ") - said.count(": FROM ")
    assert said.count("--> Using cache") == steps > 10


def test_nothing_of_the_build_is_left_in_the_image(engine: World, image: str) -> None:
    places = "/root/.cache /home/mapush/.cache /tmp /var/tmp /var/lib/apt/lists /archive /fetch"
    found = building.podman(
        engine,
        *("run", "--rm", "--user=0:0", "--entrypoint=/bin/bash", image, "-c"),
        f"find {places} -mindepth 1 -not -path '*/lists/partial' 2>/dev/null; "
        "find / -xdev '(' -name '*.tar.gz' -o -name .git -o -name .netrc ')'",
    )
    assert found == ""
    (told,) = json.loads(building.podman(engine, "image", "inspect", image))
    assert told["Config"]["User"] == "1000:1000"
    assert not [word for word in told["Config"]["Env"] if "PIP" in word or "PROXY" in word.upper()]


@pytest.mark.parametrize(
    ("options", "words", "message"),
    [
        ((), ["--exp", "cuboid"], "mapush: /out: nothing of the host is mounted there"),
        (("--volume={root}:/out", "--user=7:7"), ["--exp", "cuboid"], "user id 7 cannot write"),
        (("--volume={root}:/out",), ["--exp", "none"], "--exp 'none': no such folder"),
        ((), ["--root", "/opt", "--exp", "cuboid"], "mapush: /opt: nothing of the host"),
        ((), ["python", "-m", "mapush.train", "--no-such"], "--no-such"),
    ],
    ids=["no mount", "not writable", "no such task", "not mounted", "another command"],
)
def test_a_wrong_request_is_said_in_one_line(
    options: List[str], words: List[str], message: str, engine: World, image: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    options = [option.format(root=tmp_path) for option in options]
    if "--user=7:7" not in options:
        options.append("--user=0:0")
    done = building.run(
        ["podman", "run", "--rm", *options, image, *words], env=building.surroundings(engine)
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") <= 2


def test_without_arguments_it_says_its_options(engine: World, image: str) -> None:
    assert "--train_timesteps" in building.podman(engine, "run", "--rm", image)


def test_a_user_without_a_name_and_a_read_only_root_will_do(
    engine: World, image: str, tmp_path: Path
) -> None:
    os.chown(tmp_path, 4711, 4711)
    for place in tmp_path.parents[:2]:
        place.chmod(0o755)
    words = command(engine, image, tmp_path, "--train_timesteps", "400", "--final_envs", "0")
    words[2:2] = ["--read-only", "--tmpfs=/tmp"]
    words = [word.replace(f"--user={os.getuid()}:", "--user=4711:") for word in words]
    done = building.run(words, env=building.surroundings(engine))
    assert done.returncode == 0, done.stderr
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {4711}


def test_the_launchers_way_into_containers_takes_the_image(
    engine: World, image: str, tmp_path: Path
) -> None:
    code = Path(snapshot.take(tmp_path / "code", [PROJECT / "task/cuboid"]).path)
    environment = {
        **building.surroundings(engine),
        "MAPUSH_CONTAINER": image,
        "MAPUSH_RUNTIME": "podman",
        "MAPUSH_ROOT": str(tmp_path),
        "MAPUSH_CODE": str(code),
    }
    words = ["bash", str(code / "job/enter.sh"), "bash", str(code / "task/cuboid/train.sh")]
    options = [*SMALL, "--root", str(tmp_path), "--train_timesteps", "400", "--final_envs", "0"]
    done = building.run([*words, *options], env=environment)
    assert done.returncode == 0, done.stderr
    assert small_training.saved_steps(tmp_path) == [400]


def test_without_the_archive_the_build_says_where_to_get_it(
    engine: World, base: str, context: Path
) -> None:
    done = building.run(
        building.make_image(context, base, "isaacgym"), env=building.surroundings(engine)
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "https://developer.nvidia.com/isaac-gym" in said
    assert "RUN bash /opt/mapush" not in said  # before anything is downloaded


def test_an_archive_that_is_damaged_is_refused(engine: World, base: str, context: Path) -> None:
    archive = context / "IsaacGym_Preview_4_Package.tar.gz"
    archive.write_bytes(b"<html>please log in</html>")
    try:
        done = building.run(
            building.make_image(context, base, "isaacgym"), env=building.surroundings(engine)
        )
    finally:
        archive.unlink()
    assert done.returncode != 0
    assert "is damaged or is not Isaac Gym Preview 4" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [(["SIM=warp"], "must be isaacgym or mujoco"), (["ENGINE="], "neither docker nor podman")],
)
def test_make_refuses_what_it_cannot_build(options: List[str], message: str, context: Path) -> None:
    done = subprocess.run(
        ["make", "-C", str(context), "image", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
