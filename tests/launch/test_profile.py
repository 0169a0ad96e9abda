"""A profile's file: every field, and what is refused of it in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from profile_files import DEFAULTS, OTHERS, make_profiles, plain, refusal, write

from mapush.launch.profile import load_profile


@pytest.fixture(name="profiles", autouse=True)
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_profiles(tmp_path, monkeypatch)


def test_an_empty_profile_has_every_field_at_its_default() -> None:
    assert load_profile("default", {}).model_dump() == DEFAULTS


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_every_field_is_read_from_the_file_and_an_option_wins(name: str, profiles: Path) -> None:
    write(profiles, yaml.safe_dump({name: OTHERS[name]}))
    expected = {**plain(load_profile("default", {})), name: OTHERS[name]}
    assert plain(load_profile("mine", {})) == expected
    given = DEFAULTS[name] if name in ("time", "cpus", "memory", "memory_per_cpu") else OTHERS[name]
    below = "3G" if name.startswith("memory") else DEFAULTS[name] or "text"
    write(profiles, yaml.safe_dump({name: below}), "other")
    assert plain(load_profile("other", {name: given}))[name] == (
        list(given) if isinstance(given, (list, tuple)) else given
    )


def test_a_whole_profile_is_read(profiles: Path) -> None:
    for memory in ("memory", "memory_per_cpu"):
        whole = {**OTHERS, memory: None}
        write(profiles, yaml.safe_dump(whole))
        assert plain(load_profile("mine", {})) == whole


def test_the_profiles_of_the_project_are_valid() -> None:
    folder = Path(__file__).resolve().parents[2] / "job" / "profiles"
    paths = sorted(folder.glob("*.yaml"))
    assert folder / "default.yaml" in paths
    for path in paths:
        load_profile(str(path), {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # What YAML makes of values without quotes.
        ("time: 24:00:00", ["mine.yaml: time 86400", 'in quotes, such as "24:00:00"']),
        ("time: 90", ["time 90", "in quotes"]),
        ("time: 1-00:00:00.5", ["time", "is no time"]),
        ("partition: no", ["partition False", "string"]),
        ("account: 42", ["account 42", "string"]),
        ("qos: 1e3", []),
        ("memory: 8", ["memory 8", "string"]),
        ("requeue: 'no'", ["requeue 'no'", "boolean"]),
        ("requeue: 0", ["requeue 0", "boolean"]),
        ("cpus: 2.0", ["cpus 2.0", "integer"]),
        ("cpus: '2'", ["cpus '2'", "integer"]),
        ("cpus: true", ["cpus True", "integer"]),
        ("modules: cuda", ["modules 'cuda'", "tuple"]),
        ("partition: [a, b]", ["partition ['a', 'b']", "string"]),
        ("setup: [[export A=1]]", ["setup", "string"]),
        ("time:", ["time None", "in quotes"]),
        ("cpus:", ["cpus None", "integer"]),
        ("constraint: {a: b}", ["constraint {'a': 'b'}", "string"]),
        ("qos: 2026-11-23", ["qos", "string"]),
        # Values out of range, with what is allowed.
        ("cpus: 0", ["cpus 0", "greater than or equal to 1"]),
        ("cpus: 5000", ["cpus 5000", "less than or equal to 4096"]),
        ("signal_lead: 0", ["signal_lead 0"]),
        ("signal_lead: 65536", ["signal_lead 65536", "65535"]),
        ("max_idle: 0", ["max_idle 0"]),
        ("max_failures: -1", ["max_failures -1"]),
        ("gpu_request: gpus", ["gpu_request 'gpus'", "'gres' or 'gpus-per-node'"]),
        ("runtime: rkt", ["runtime 'rkt'", "'apptainer'", "'podman'"]),
        ("signal: KILL", ["signal 'KILL'", "'USR2'", "'TERM'"]),
        ("memory: 8 G", ["memory '8 G'", "such as 8G"]),
        ("memory: 0G", ["memory '0G'"]),
        ("memory: 8GB", ["memory '8GB'"]),
        ("time: '0'", ["time '0'", "is no time"]),
        ("time: 99x", ["time '99x'", "is no time"]),
        ("time: UNLIMITED", ["time 'UNLIMITED'"]),
        ("time: '-5'", ["time '-5'"]),
        ("time: '1:00'", ["--time 1:00", "--signal-lead"]),
        # Lines of the batch script that are not meant.
        ('partition: "low\\n#SBATCH --account=other"', ["partition", "one line of text"]),
        ('setup: ["export A=1\\nrm -rf /"]', ["setup", "one line of text"]),
        ('modules: ["cuda\\r"]', ["modules", "one line of text"]),
        ('binds: ["/a\\n/b"]', ["binds", "one line of text"]),
        ('container: "a\\0b"', ["container", "one line of text"]),
        ('python: "a\\u2028b"', ["python", "one line of text"]),
        ("partition: ''", ["partition ''", "not empty"]),
        ("setup: ['  ']", ["setup", "not empty"]),
        # Fields that there are not.
        ("colour: red", ["mine.yaml: unknown field 'colour'", "there are: partition, account"]),
        ("Partition: low", ["unknown field 'Partition'"]),
        ("signal-lead: 5", ["unknown field 'signal-lead'", "signal_lead"]),
        ("1: 2", ["unknown field '1'"]),
        ("? [a, b]\n: c", ["mine.yaml: cannot be read"]),
        ("no: 1", ["unknown field 'False'"]),
        (f"{'x' * 1000}: 1", ["unknown field 'xxx"]),
        (f"partition: [{'x' * 5000}]", ["partition ['xxx"]),
        # What is no profile.
        ("- partition", ["mine.yaml: is a list, not fields with values"]),
        ("just text", ["is a str"]),
        ("42", ["is a int"]),
        ("a: b: c", ["cannot be read"]),
        ("\tpartition: low", ["cannot be read"]),
        ("a: &a [*a]", ["unknown field 'a'"]),
        ("setup: &a [*a]", ["setup"]),
        (f"setup: {'[' * 2_000}", ["cannot be read"]),
        ("partition: !!python/object/apply:os.system ['touch executed']", ["cannot be read"]),
        ("partition: !!python/name:os.system", ["cannot be read"]),
        ("partition: !mine low", ["cannot be read"]),
        ("partition: \0", ["cannot be read"]),
        (f"# {'x' * 100_000}", ["more than 100,000 bytes"]),
        ("partition: a\n---\npartition: b", ["cannot be read"]),
    ],
)
def test_a_wrong_profile_is_refused_in_one_line_that_names_field_and_value(
    text: str, words: List[str], profiles: Path, tmp_path: Path
) -> None:
    write(profiles, text)
    if not words:
        load_profile("mine", {})
        return
    message = refusal("mine", {})
    for word in words:
        assert word in message
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("field", ["setup", "partition", "nonsense"])
def test_a_profile_that_grows_without_end_is_refused_at_once(field: str, profiles: Path) -> None:
    lines = [f"{field}:", "- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 30):
        lines.append(f"- &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    write(profiles, "\n".join(lines))
    assert field in refusal("mine", {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time": "99x"}, ["--time '99x'", "is no time"]),
        ({"cpus": 0}, ["--cpus 0"]),
        ({"gpu_request": "tpu"}, ["--gpu-request 'tpu'", "'gres' or 'gpus-per-node'"]),
        ({"setup": ["a\nb"]}, ["--setup", "one line of text"]),
        ({"memory": "lots"}, ["--memory 'lots'"]),
        ({"signal_lead": 4000, "time": "60"}, ["--time 60", "4030 s", "--signal-lead 4000"]),
    ],
)
def test_a_wrong_option_is_named_as_the_option_it_is(
    changes: Dict[str, Any], words: List[str]
) -> None:
    message = refusal("default", changes)
    for word in words:
        assert word in message


def test_an_option_mends_a_wrong_value_in_the_file(profiles: Path) -> None:
    write(profiles, "time: 99x\n")
    assert load_profile("mine", {"time": "60"}).seconds == 3600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("12:00:00", 43200),
        ("00:03:01", 181),
        ("1-0", 86400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-12:30:01", 131401),
        ("7-00:00:00", 604800),
    ],
)
def test_a_time_limit_is_what_sbatch_would_take_it_for(text: str, seconds: int) -> None:
    assert load_profile("default", {"time": text}).seconds == seconds


@pytest.mark.parametrize("name", ["moon", "../default", "", "default.yml", "DEFAULT"])
def test_an_unknown_profile_is_refused_with_those_there_are(name: str, profiles: Path) -> None:
    write(profiles, "", "gpu")
    message = refusal(name, {})
    assert f"--profile {name!r}" in message
    assert "there are: default, gpu" in message


def test_a_path_is_taken_as_a_profile(tmp_path: Path) -> None:
    path = write(tmp_path, "cpus: 16\n", "some where")
    assert load_profile(str(path), {}).cpus == 16
    assert "gone.yaml: cannot be read" in refusal(str(tmp_path / "gone.yaml"), {})
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml: cannot be read" in refusal(str(tmp_path / "folder.yaml"), {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_profile_that_may_not_be_read_is_named(profiles: Path) -> None:
    write(profiles, "").chmod(0)
    assert "mine.yaml: cannot be read" in refusal("mine", {})


def test_without_profiles_here_those_of_the_project_are_taken(
    profiles: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_profile("preemptible-gpu", {}).partition == "preempt"
    monkeypatch.chdir(tmp_path)
    assert "there are: default" in refusal("preemptible-gpu", {})
