"""A job for the doctor to be asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from mapush.diagnosis.finding import Finding
from mapush.diagnosis.question import Question
from mapush.launch.profile import Profile, load_profile
from mapush.training.space import Space


def question(root: Path, profile: Any = None, **changes: Any) -> Question:
    fields = {
        "root": root,
        "profile": profile or load_profile(None, {}),
        "cluster": "local",
        "gpus": 0,
        "simulator": "mujoco",
        "learner": "native",
        "device": "auto",
        "num_envs": 20,
        "space": Space(written=10_000_000, needed=2_000_000, checkpoints=30, kept=5),
        "checkpoint_bytes": 300_000,
    }
    return Question(**{**fields, **changes})


def profile(**fields: Any) -> Profile:
    return load_profile(None, fields)


def levels(findings: List[Finding]) -> Dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def said(finding: Finding) -> str:
    return f"{finding.what} {finding.cost} {finding.fix}"
