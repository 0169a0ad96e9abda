"""What `enter.sh` asks of each runtime, and what it refuses, with runtimes that only take notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import pytest

ENTER = Path(__file__).parents[2] / "job/enter.sh"
SECONDS = 20
UID, GID = os.getuid(), os.getgid()
# All that enter.sh may use; a runtime is there only where a test installs it.
HOST_TOOLS = ("bash", "cksum", "env", "id", "mktemp", "pwd", "readlink", "rm")
# Notes its arguments, fails where it is told to, and knows of no container.
NOTING = """#!/bin/bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\1\\0'; } >>"$NOTES"
case "$*" in
"info --format"*) printf '%s\\n' "${SECURITY:-[name=seccomp]}" ;;
"--version") printf '%s\\n' "${VERSION:-Docker version 28}" ;;
"container inspect"*) [ -e "$LEFT" ] ; exit ;;
"rm -f"*) [ -n "${STUCK:-}" ] || rm -f "$LEFT" ;;
-L | --query-gpu*) printf '%s' "$GPUS_THERE"; [ -n "$GPUS_THERE" ]; exit ;;
esac
[ -z "${FAILS:-}" ] || [[ "$*" != "$FAILS"* ]] || { echo "it said no" >&2; exit 125; }
"""
RUNTIMES = ("apptainer", "singularity", "docker", "podman")


class Host:
    """A machine with the runtimes that a test installs, and a job on it."""

    def __init__(self, folder: Path) -> None:
        self.tools = folder / "bin"
        self.tools.mkdir()
        for name in HOST_TOOLS:
            (self.tools / name).symlink_to(shutil.which(name) or "")
        (self.tools / "sleep").symlink_to(shutil.which("true") or "")
        self.root = folder / "root of results"
        self.code = self.root / "code"
        self.code.mkdir(parents=True)
        self.image = folder / "image.sif"
        self.image.touch()
        self.notes = folder / "notes"
        self.left = folder / "left"
        self.environment: Dict[str, str] = {
            "PATH": str(self.tools),
            "NOTES": str(self.notes),
            "LEFT": str(self.left),
            "GPUS_THERE": "",
            "TMPDIR": str(folder),
            "MAPUSH_ROOT": str(self.root),
            "MAPUSH_CODE": str(self.code),
        }
        self.said = ""

    def install(self, *names: str) -> None:
        for name in names:
            (self.tools / name).write_text(NOTING)
            (self.tools / name).chmod(0o755)

    def enter(self, *command: str, **environment: str) -> int:
        """Run enter.sh; its exit code."""
        self.notes.unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", str(ENTER), *command],
            env={**self.environment, **environment},
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.said = done.stderr
        return done.returncode

    def calls(self) -> List[List[str]]:
        """The arguments of every call, program first."""
        if not self.notes.exists():
            return []
        calls = self.notes.read_text().split("\0\1\0")
        return [call.split("\0") for call in calls if call]

    def started(self) -> List[str]:
        """The call that starts the container; no other may follow it."""
        (call,) = [call for call in self.calls() if call[1] in ("exec", "run")]
        assert call == self.calls()[-1]
        return call

    def options(self) -> List[str]:
        """What comes between the subcommand and the image."""
        call = self.started()
        return call[2 : call.index(self.image_called())]

    def image_called(self) -> str:
        shell = ["/bin/sh", "-c"] if self.started()[1] == "exec" else ["-c"]
        call = self.started()
        for place in range(2, len(call)):
            if call[place + 1 : place + 1 + len(shell)] == shell:
                return call[place]
        raise AssertionError(call)

    def passed(self) -> Dict[str, str]:
        """The environment that the command gets in the container."""
        call = self.started()
        pairs = call[call.index("mapush", call.index("-c")) + 1 : call.index("--")]
        return dict(pair.split("=", 1) for pair in pairs)

    def command(self) -> List[str]:
        call = self.started()
        return call[call.index("--") + 1 :]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def engine_options(host: Host, *more: str) -> List[str]:
    """What docker and podman are asked for in every job of `Host`."""
    clock = "/etc/localtime"
    return [
        *("--volume", f"{host.root}:{host.root}", "--volume", f"{host.code}:{host.code}:ro"),
        *(("--volume", f"{clock}:{clock}:ro") if Path(clock).exists() else ()),
        *("--rm", "--pull=never", "--sig-proxy=true", "--log-driver=none"),
        *("--pid=host", "--uts=host", "--network=host", "--volume=/dev/shm:/dev/shm"),
        *("--workdir=/", "--entrypoint=/bin/sh", *more),
    ]


def user_options(runtime: str, security: str = "") -> List[str]:
    """By which files belong to the caller."""
    if runtime == "docker":
        if "rootless" in security:
            return ["--user=0:0"]
        host = ["--userns=host"] if "userns" in security else []
        return [*host, f"--user={UID}:{GID}", *(f"--group-add={g}" for g in groups())]
    if UID == 0:
        return ["--user=0:0"]
    kept = "--annotation=run.oci.keep_original_groups=1"
    return ["--userns=keep-id", f"--user={UID}:{GID}", kept]


def groups() -> List[str]:
    return subprocess.check_output(["id", "-G"], text=True).split()


@pytest.mark.parametrize("runtime", ["apptainer", "singularity"])
def test_apptainer_is_asked_for_this(host: Host, runtime: str) -> None:
    host.install(runtime)
    assert host.enter("bash", "a b", "", MAPUSH_CONTAINER=str(host.image)) == 0
    scratch = Path(host.passed()["TORCH_EXTENSIONS_DIR"]).parent
    assert host.started()[0] == runtime
    assert host.image_called() == str(host.image)
    assert host.options() == [
        *("--cleanenv", "--no-home", "--pwd", str(host.code)),
        *("--bind", f"{host.root}:{host.root}", "--bind", f"{host.code}:{host.code}:ro"),
        *("--bind", f"{scratch}:{scratch}"),
    ]
    assert host.command() == ["bash", "a b", ""]
    assert scratch.stat().st_mode & 0o777 == 0o700
    assert host.passed()["HOME"] == str(scratch)


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_docker_and_podman_are_asked_for_this(host: Host, runtime: str) -> None:
    host.install(runtime)
    assert host.enter("bash", "a b", "", MAPUSH_CONTAINER="docker://lab/image:1") == 0
    assert host.started()[0] == runtime
    assert host.image_called() == "lab/image:1"
    assert host.options() == engine_options(host, *user_options(runtime))
    assert host.command() == ["bash", "a b", ""]


@pytest.mark.parametrize("security", ["[name=seccomp name=rootless]", "[name=userns]"])
def test_a_daemon_with_user_ids_of_its_own_still_makes_the_callers_files(
    host: Host, security: str
) -> None:
    host.install("docker")
    assert host.enter("true", MAPUSH_CONTAINER="image:1", SECURITY=security) == 0
    assert host.options() == engine_options(host, *user_options("docker", security))


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        ("apptainer", ["--nv"]),
        ("singularity", ["--nv"]),
        ("docker", ["--gpus=all"]),
        ("podman", ["--device=nvidia.com/gpu=all"]),
    ],
)
def test_gpus(host: Host, runtime: str, options: List[str]) -> None:
    host.install(runtime, "nvidia-smi")
    image = str(host.image) if options == ["--nv"] else "image:1"
    job = {"MAPUSH_CONTAINER": image, "MAPUSH_RUNTIME": runtime, "CUDA_VISIBLE_DEVICES": "1,0"}
    assert host.enter("true", **job, MAPUSH_GPUS="0", GPUS_THERE="0, GPU-a\n") == 0
    assert not set(options) & set(host.started())
    assert host.passed()["CUDA_VISIBLE_DEVICES"] == "1,0"

    assert host.enter("true", **job, MAPUSH_GPUS="2", GPUS_THERE="0, GPU-a\n1, GPU-b\n") == 0
    assert host.started().count(options[0]) == 1
    # A daemon is outside the job's cgroup, where the same indices are other GPUs.
    names = "1,0" if options == ["--nv"] else "GPU-b,GPU-a"
    assert host.passed()["CUDA_VISIBLE_DEVICES"] == names


@pytest.mark.parametrize("visible", ["", "GPU-a", "7", "MIG-x,0"])
def test_devices_that_are_no_index_stay_as_they_are(host: Host, visible: str) -> None:
    host.install("docker", "nvidia-smi")
    job = {"MAPUSH_CONTAINER": "image:1", "MAPUSH_GPUS": "1", "GPUS_THERE": "0, GPU-a\n"}
    assert host.enter("true", **job, CUDA_VISIBLE_DEVICES=visible) == 0
    assert host.passed()["CUDA_VISIBLE_DEVICES"] == visible.replace(",0", ",GPU-a")


@pytest.mark.parametrize(
    ("image", "asked", "installed", "chosen"),
    [
        ("image.sif", None, RUNTIMES, "apptainer"),
        ("image.sif", "auto", ("singularity", "docker"), "singularity"),
        ("image.sif", "singularity", RUNTIMES, "singularity"),
        ("code", "auto", RUNTIMES, "apptainer"),
        ("./code", "", RUNTIMES, "apptainer"),
        ("docker://lab/image", "auto", RUNTIMES, "docker"),
        ("docker://lab/image", "auto", ("apptainer", "podman"), "podman"),
        ("docker://lab/image", "auto", ("singularity",), "singularity"),
        ("docker://lab/image", "apptainer", RUNTIMES, "apptainer"),
        ("oras://lab/image", "auto", RUNTIMES, "apptainer"),
        ("lab/image:1", "auto", RUNTIMES, "docker"),
        ("lab/image:1", "auto", ("podman",), "podman"),
        ("lab/image:1", "podman", RUNTIMES, "podman"),
    ],
)
def test_the_runtime(
    host: Host, image: str, asked: Optional[str], installed: Sequence[str], chosen: str
) -> None:
    host.install(*installed)
    (host.root / "image.sif").touch()
    job = {} if asked is None else {"MAPUSH_RUNTIME": asked}
    assert host.enter("true", MAPUSH_CONTAINER=image, **job) == 0
    assert host.started()[0] == chosen
    if chosen in ("docker", "podman"):
        assert host.image_called() == image.replace("docker://", "")
    elif "://" not in image:  # a path is found from another working directory
        assert Path(host.image_called()).samefile(host.root / image)


def test_podman_under_dockers_name_is_asked_as_podman(host: Host) -> None:
    host.install("docker")
    version = "podman version 4.9"
    assert host.enter("true", MAPUSH_CONTAINER="image:1", MAPUSH_GPUS="0", VERSION=version) == 0
    assert host.started()[0] == "docker"
    assert host.options() == engine_options(host, *user_options("podman"))


def test_only_what_the_trainer_needs_is_passed(host: Host) -> None:
    host.install("docker")
    passed = {
        **{f"SLURM_{name}": "1" for name in ("JOB_ID", "RESTART_COUNT", "CPUS_PER_TASK", "PROCID")},
        **{f"SLURM_{n}": "2" for n in ("NTASKS", "LOCALID", "JOB_START_TIME", "GPUS_ON_NODE")},
        "SLURMD_NODENAME": "n 1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUNBUFFERED": "1",
        "MAPUSH_JOB_ID": "11-23-20-30-00_cuboid",
        "MAPUSH_RESTART_COUNT": "2",
        "MAPUSH_RUN_LINK": f"{host.root}/log/run",
        "MAPUSH_ANYTHING": "a,b:'c' \"$HOME\" `id`\n\\n",
    }
    hidden = {
        "PYTHON": "/host/python",
        "PYTHONPATH": "/host/modules",
        "PYTHONHOME": "/host",
        "LD_LIBRARY_PATH": "/host/lib",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_ARRAY_TASK_ID": "7",
        "MAPUSH_RUNTIME": "docker",
        "MAPUSH_BINDS": "",
        "MAPUSH_CONTAINER": "image:1",
        "MAPUSH_CONTAINER_PYTHON": "/opt/py thon",
        "HOME": "/host/home",
    }
    assert host.enter("true", **passed, **hidden) == 0
    user = subprocess.check_output(["id", "-un"], text=True).strip()
    assert host.passed() == {
        **passed,
        "MAPUSH_ROOT": str(host.root),
        "MAPUSH_CODE": str(host.code),
        "PYTHON": "/opt/py thon",
        "PYTHONNOUSERSITE": "1",
        "USER": user,
        "LOGNAME": user,
        "TORCH_EXTENSIONS_DIR": f"/tmp/mapush-{UID}/torch_extensions",
    }


BINDS = [
    ("{0}/a", "{0}/a:{0}/a"),
    ("{0}/a:/b c", "{0}/a:/b c"),
    ("{0}/a:/b:ro", "{0}/a:/b:ro"),
    ("{0}/a:/b:rw", "{0}/a:/b"),
    ("{0}/a::ro", "{0}/a:{0}/a:ro"),
    ("{0}/q'\"$x`\\", "{0}/q'\"$x`\\:{0}/q'\"$x`\\"),
]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("line", "spec"), BINDS)
def test_binds(host: Host, runtime: str, line: str, spec: str) -> None:
    host.install(runtime)
    for name in ("a", "q'\"$x`\\"):
        (host.root / name).mkdir()
    file_image = runtime in ("apptainer", "singularity")
    image = str(host.image) if file_image else "image:1"
    binds = f"\n{line.format(host.root)}\n{host.code}:/second\n"
    assert host.enter("true", MAPUSH_CONTAINER=image, MAPUSH_BINDS=binds) == 0
    options = host.options()
    flag = "--bind" if file_image else "--volume"
    bound = [value for name, value in zip(options, options[1:]) if name == flag]
    assert bound[2:4] == [spec.format(host.root), f"{host.code}:/second"]


@pytest.mark.parametrize("name", ["com,ma", "co:lon", 'both,:"'])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_root_with_a_comma_or_a_colon_is_bound_or_refused(
    host: Host, runtime: str, name: str
) -> None:
    host.install(runtime)
    root = host.root / name
    root.mkdir()
    image = str(host.image) if runtime in ("apptainer", "singularity") else "image:1"
    code = host.enter("true", MAPUSH_CONTAINER=image, MAPUSH_ROOT=str(root))
    if runtime == "apptainer":
        quoted = str(root).replace('"', '""')
        assert f'type=bind,"source={quoted}","destination={quoted}"' in host.options()
    elif runtime in ("docker", "podman") and ":" not in name:
        assert f"{root}:{root}" in host.options()
    else:
        assert_refused(host, code, f"{root}: {runtime} cannot bind a path with a c")


def test_a_clock_bound_by_the_user_is_not_bound_twice(host: Host) -> None:
    host.install("docker")
    binds = f"{host.image}:/etc/localtime:ro"
    assert host.enter("true", MAPUSH_CONTAINER="image:1", MAPUSH_BINDS=binds) == 0
    assert [option for option in host.options() if "localtime" in option] == [binds]


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_a_job_names_its_container_and_stops_the_one_it_left(host: Host, runtime: str) -> None:
    host.install(runtime)
    job = {"MAPUSH_CONTAINER": "image:1", "MAPUSH_JOB_ID": "11-23_a"}
    assert host.enter("true", **job) == 0
    (name,) = [after for option, after in pairs(host.options()) if option == "--name"]
    assert name.startswith(f"mapush-{UID}-11-23_a-")
    assert name.endswith("-0")
    assert not host.said

    host.left.touch()
    assert host.enter("true", **job) == 0
    verbs = [call[1] for call in host.calls()[-5:]]
    assert verbs == ["container", "stop", "rm", "container", "run"]
    assert [runtime, "stop", "-t", "10", name] in host.calls()
    assert host.said == f"mapush: {name}: left by an earlier start of this job; stopping it\n"

    host.left.touch()
    code = host.enter("true", **job, STUCK="1")
    assert code == 1  # not the request's fault: the job may be requeued to another node
    assert host.said.splitlines()[-1].startswith(f"mapush: {name}: left by an earlier start")
    assert "run" not in [call[1] for call in host.calls()]


def test_other_jobs_roots_and_tasks_have_containers_of_other_names(host: Host) -> None:
    host.install("docker")
    other = host.root / "other"
    other.mkdir()
    names = []
    for more in (
        {},
        {"MAPUSH_JOB_ID": "b"},
        {"MAPUSH_ROOT": str(other)},
        {"SLURM_PROCID": "1"},
        {"MAPUSH_JOB_ID": "a/ü"},
    ):
        job = {"MAPUSH_CONTAINER": "image:1", "MAPUSH_JOB_ID": "a", **more}
        assert host.enter("true", **job) == 0
        names += [after for option, after in pairs(host.options()) if option == "--name"]
    assert len(set(names)) == 5
    assert all(name.replace("-", "").replace("_", "").isalnum() for name in names)

    assert host.enter("true", MAPUSH_CONTAINER="image:1") == 0  # no job: nothing to find again
    assert "--name" not in host.options()


def pairs(options: List[str]) -> List[List[str]]:
    return [[first, second] for first, second in zip(options, options[1:])]


Refusal = Dict[str, Union[str, Sequence[str]]]
REFUSALS: Dict[str, Refusal] = {
    "no command": {"command": (), "says": "job/enter.sh: no command"},
    "unknown runtime": {"MAPUSH_RUNTIME": "lxc", "says": "MAPUSH_RUNTIME=lxc: must be auto, "},
    "runtime not installed": {
        "MAPUSH_RUNTIME": "singularity",
        "says": "MAPUSH_CONTAINER={image}: singularity: not installed on ",
    },
    "no runtime": {
        "installed": (),
        "says": "MAPUSH_CONTAINER={image}: apptainer singularity: not installed on ",
    },
    "no file": {
        "MAPUSH_CONTAINER": "/no/image.sif",
        "says": "MAPUSH_CONTAINER=/no/image.sif: no such file or directory on ",
    },
    "name for apptainer": {
        "MAPUSH_CONTAINER": "lab/image:1",
        "MAPUSH_RUNTIME": "apptainer",
        "says": "MAPUSH_CONTAINER=lab/image:1: no such file; apptainer takes a .sif file",
    },
    "file for docker": {
        "MAPUSH_RUNTIME": "docker",
        "says": "MAPUSH_CONTAINER={image}: docker takes an image's name; set MAPUSH_RUNTIME",
    },
    "other address for podman": {
        "MAPUSH_CONTAINER": "oras://lab/image",
        "MAPUSH_RUNTIME": "podman",
        "says": "MAPUSH_CONTAINER=oras://lab/image: podman takes an image's name",
    },
    "option for a name": {
        "MAPUSH_CONTAINER": "--privileged",
        "says": "MAPUSH_CONTAINER=--privileged: an image's name does not begin with '-'",
    },
    "empty name": {
        "MAPUSH_CONTAINER": "docker://",
        "says": "MAPUSH_CONTAINER=docker://: names no image",
    },
    "image docker lacks": {
        "MAPUSH_CONTAINER": "lab/image:1",
        "FAILS": "image inspect",
        "says": "MAPUSH_CONTAINER=lab/image:1: not on ",
    },
    "image podman lacks": {
        "MAPUSH_CONTAINER": "lab/image:1",
        "MAPUSH_RUNTIME": "podman",
        "FAILS": "image inspect",
        "says": "MAPUSH_CONTAINER=lab/image:1: not on ",
    },
    "bind source": {
        "MAPUSH_BINDS": "/no/such/data:/data",
        "says": "MAPUSH_BINDS: /no/such/data: does not exist on ",
    },
    "relative bind": {
        "MAPUSH_BINDS": "data:/data",
        "says": "MAPUSH_BINDS: data: must be an absolute path",
    },
    "relative target": {
        "MAPUSH_BINDS": "/tmp:ro",
        "says": "MAPUSH_BINDS: ro: must be an absolute path",
    },
    "bind mode": {
        "MAPUSH_BINDS": "/tmp:/tmp:rx",
        "says": "MAPUSH_BINDS: /tmp:/tmp:rx: must be SRC",
    },
    "bind parts": {"MAPUSH_BINDS": "/a:/b:ro:z", "says": "MAPUSH_BINDS: /a:/b:ro:z: must be SRC"},
    "no driver": {
        "MAPUSH_GPUS": "1",
        "says": "MAPUSH_GPUS=1: no NVIDIA driver on ",
    },
    "no count": {"MAPUSH_GPUS": "one", "says": "MAPUSH_GPUS=one: must be a count"},
    "no root": {"MAPUSH_ROOT": "/no/root", "says": "MAPUSH_ROOT=/no/root: no such directory on "},
    "relative root": {"MAPUSH_ROOT": "bin", "says": "MAPUSH_ROOT=bin: must be an absolute path"},
    "no code": {"MAPUSH_CODE": "/no/code", "says": "MAPUSH_CODE=/no/code: no such directory on "},
    "no code, bare": {
        "MAPUSH_CONTAINER": "",
        "MAPUSH_CODE": "/no/code",
        "says": "MAPUSH_CODE=/no/code: no such directory on ",
    },
    "no such command, bare": {
        "MAPUSH_CONTAINER": "",
        "command": ("no-such-thing",),
        "says": "no-such-thing: no such command on ",
    },
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=list(REFUSALS))
def test_it_refuses_in_one_line_before_anything_starts(host: Host, refusal: Refusal) -> None:
    if "NVIDIA" in refusal["says"] and Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    host.install(*refusal.get("installed", ("apptainer", "docker", "podman")))
    environment = {
        "MAPUSH_CONTAINER": str(host.image),
        **{name: str(value) for name, value in refusal.items() if name.isupper()},
    }
    code = host.enter(*refusal.get("command", ("true",)), **environment)
    assert_refused(host, code, str(refusal["says"]).format(image=host.image))


def test_a_refusal_names_this_node_and_not_the_one_that_submitted(host: Host) -> None:
    assert host.enter("true", MAPUSH_CODE="/no/code", HOSTNAME="login1") == 2
    assert (
        host.said == f"mapush: MAPUSH_CODE=/no/code: no such directory on {os.uname().nodename}\n"
    )


def assert_refused(host: Host, code: int, message: str) -> None:
    assert code == 2
    assert host.said.startswith(f"mapush: {message}")
    assert host.said.count("\n") == 1
    assert not [call for call in host.calls() if call[1] in ("exec", "run")]


def test_a_daemon_that_does_not_answer_is_not_the_requests_fault(host: Host) -> None:
    host.install("docker")
    assert host.enter("true", MAPUSH_CONTAINER="image:1", FAILS="info") == 1
    assert host.said.startswith("mapush: docker on ")
    assert host.said.count("\n") == 1


def test_bare_the_command_takes_this_process_place(host: Host) -> None:
    program = 'echo "$$:$PWD:$PYTHONPATH:$PYTHON:$1"; kill -TERM $$'
    with subprocess.Popen(
        ["bash", str(ENTER), "bash", "-c", program, "bash", "a 'b'"],
        env={**host.environment, "PYTHONPATH": "/more", "PYTHON": "/host/python"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=SECONDS)
    assert said == f"{process.pid}:{host.code}:{host.code}:/more:/host/python:a 'b'\n"
    assert process.returncode == -15


@pytest.mark.parametrize("code", [0, 2, 75])
def test_bare_without_a_snapshot_nothing_is_changed(host: Host, code: int) -> None:
    del host.environment["MAPUSH_CODE"]
    command = f'[ "$PWD" = "{host.root}" ] && [ -z "${{PYTHONPATH+set}}" ] || exit 99; exit {code}'
    assert host.enter("bash", "-c", command) == code
