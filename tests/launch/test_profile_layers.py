"""Where a profile's values come from: batch script, earlier job, file, options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest
from profile_files import DEFAULTS, make_profiles, plain, refusal, write

from mapush.errors import RequestError
from mapush.launch import profile as module
from mapush.launch.profile import Profile, batch_defaults, load_profile, of_running_job


@pytest.fixture(name="profiles", autouse=True)
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_profiles(tmp_path, monkeypatch)


def test_the_defaults_are_those_of_the_batch_script_and_stated_nowhere_else() -> None:
    text = (Path(__file__).resolve().parents[2] / "slurm" / "train.sh").read_text(encoding="utf-8")
    assert batch_defaults() == {
        "time": DEFAULTS["time"],
        "cpus": DEFAULTS["cpus"],
        "signal": DEFAULTS["signal"],
        "signal_lead": DEFAULTS["signal_lead"],
    }
    for field in batch_defaults():
        assert Profile.model_fields[field].is_required()
    for line in ("--time=1-00:00:00", "--mincpus=2", "--signal=USR2@90"):
        assert f"#SBATCH {line}\n" in text


def test_a_changed_batch_script_changes_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurm").mkdir()
    text = "#!/bin/bash\n#SBATCH --time=2:00:00\n#SBATCH --mincpus=7\n#SBATCH --signal=TERM@30\n"
    (tmp_path / "slurm" / "train.sh").write_text(text, encoding="utf-8")
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    found = load_profile("default", {})
    assert (found.time, found.cpus, found.signal, found.signal_lead) == ("2:00:00", 7, "TERM", 30)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#SBATCH --time=60\n#SBATCH --signal=USR2@90\n",
        "#SBATCH --time=60\n#SBATCH --mincpus=two\n#SBATCH --signal=USR2@90\n",
        "#SBATCH --time=60\n#SBATCH --mincpus=2\n#SBATCH --signal=USR2\n",
        "#SBATCH --time=60\n#SBATCH --mincpus=2\n#SBATCH --signal=B:USR2@90\n",
        "#SBATCH --time=soon\n#SBATCH --mincpus=2\n#SBATCH --signal=USR2@90\n",
        "##SBATCH --time=60\n#SBATCH --mincpus=2\n#SBATCH --signal=USR2@90\n",
    ],
)
def test_a_batch_script_without_a_default_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "train.sh").write_text(text, encoding="utf-8")
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    with pytest.raises(RequestError, match=r"slurm/train\.sh: ") as caught:
        load_profile(None, {})
    assert "\n" not in str(caught.value)


def test_without_the_batch_script_jobs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    assert "slurm/train.sh: is not there; a job needs mapush's whole" in refusal("default", {})


# Memory in the file, in the options, and what is asked for; None for what is refused.
MEMORY = [
    ("memory: 8G", {}, ("8G", None)),
    ("memory: null", {}, (None, None)),
    ("memory:", {}, (None, None)),
    ("memory: 8G", {"memory": "2G"}, ("2G", None)),
    ("memory: 8G", {"memory": None}, (None, None)),
    ("memory: 8G", {"memory_per_cpu": "400M"}, (None, "400M")),
    ("memory: 8G", {"memory": None, "memory_per_cpu": "400M"}, (None, "400M")),
    ("memory_per_cpu: 1G", {}, (None, "1G")),
    ("memory_per_cpu: 1G", {"memory": "2G"}, ("2G", None)),
    ("memory_per_cpu: 1G", {"memory": None}, (None, "1G")),
    ("memory_per_cpu: 1G", {"memory_per_cpu": None}, (None, None)),
    ("memory: 8G\nmemory_per_cpu: null", {}, ("8G", None)),
    ("memory: 8G\nmemory_per_cpu: 1G", {}, None),
    ("memory: 8G\nmemory_per_cpu: 1G", {"memory": None}, (None, "1G")),
    ("", {"memory": "2G", "memory_per_cpu": "400M"}, None),
    ("memory: 8G", {"memory": "2G", "memory_per_cpu": "400M"}, None),
]


@pytest.mark.parametrize(("text", "changes", "expected"), MEMORY)
def test_memory_in_one_form_takes_the_place_of_the_other(
    text: str, changes: Dict[str, Any], expected: Any, profiles: Path
) -> None:
    write(profiles, text)
    if expected is None:
        message = refusal("mine", changes)
        assert "SLURM takes only one of them; leave one out" in message
    else:
        found = load_profile("mine", changes)
        assert (found.memory, found.memory_per_cpu) == expected


@pytest.mark.parametrize(
    ("known", "text", "changes", "expected"),
    [
        ({"partition": "a"}, None, {}, {"partition": "a"}),
        ({"partition": "a"}, "cpus: 3", {}, {"partition": "a", "cpus": 3}),
        ({"partition": "a"}, "partition: b", {}, {"partition": "b"}),
        ({"partition": "a"}, "partition: b", {"partition": "c"}, {"partition": "c"}),
        ({"partition": "a"}, None, {"partition": None}, {"partition": None}),
        ({"partition": "a"}, "partition: null", {}, {"partition": None}),
        ({"cpus": 9, "time": "60"}, None, {"cpus": 8}, {"cpus": 8, "time": "60"}),
        ({"memory": "1G"}, None, {}, {"memory": "1G"}),
        (
            {"memory": "1G", "memory_per_cpu": None},
            None,
            {"memory_per_cpu": "2G"},
            {"memory": None, "memory_per_cpu": "2G"},
        ),
        (
            {"memory": None, "memory_per_cpu": "1G"},
            "memory: 8G",
            {},
            {"memory": "8G", "memory_per_cpu": None},
        ),
        ({"setup": ("a", "b")}, None, {}, {"setup": ["a", "b"]}),
        ({"requeue": False}, "requeue: true", {}, {"requeue": True}),
    ],
)
def test_values_of_an_earlier_job_are_below_the_files_and_the_options(
    known: Dict[str, Any],
    text: Any,
    changes: Dict[str, Any],
    expected: Dict[str, Any],
    profiles: Path,
) -> None:
    if text is not None:
        write(profiles, text)
    found = plain(load_profile(None if text is None else "mine", changes, known))
    defaults = {name: list(v) if isinstance(v, tuple) else v for name, v in DEFAULTS.items()}
    assert found == {**defaults, **expected}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        (
            {"Partition": "low", "TimeLimit": "12:00:00", "NumCPUs": "4", "MinMemoryNode": "8G"},
            {"partition": "low", "time": "12:00:00", "cpus": 4, "memory": "8G"},
        ),
        ({"MinMemoryCPU": "400M", "QOS": "normal"}, {"memory_per_cpu": "400M", "qos": "normal"}),
        (
            {"Account": "(null)", "Features": "(null)", "TimeLimit": "UNLIMITED", "QOS": "N/A"},
            {},
        ),
        ({"MinMemoryNode": "0"}, {}),
        ({"MinMemoryNode": "7.50G"}, {}),
        (
            {"Reservation": "course", "Features": "a100&ib"},
            {"reservation": "course", "constraint": "a100&ib"},
        ),
        ({"TresPerNode": "gres/gpu:a100:1"}, {"gpu_type": "a100"}),
        ({"TresPerNode": "gres:gpu:a100_3g.20gb:1"}, {"gpu_type": "a100_3g.20gb"}),
        ({"TresPerNode": "(null)", "TresPerJob": "gres/gpu:h100=2"}, {"gpu_type": "h100"}),
        ({"TresPerNode": "gres/gpu:1"}, {}),
        ({"TresPerNode": "(null)", "TresPerJob": "gres:gpu:2"}, {}),
        ({"Requeue": "0", "NumCPUs": "1-4"}, {"requeue": False}),
        ({"Requeue": "1"}, {}),
    ],
)
def test_what_a_job_of_sbatch_alone_has_asked_for_is_read_from_slurm(
    fields: Dict[str, str], expected: Dict[str, Any]
) -> None:
    asked, _ = of_running_job(fields)
    assert asked == expected
    load_profile(None, {}, asked)
