"""A job for the doctor to be asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

from mapush.diagnosis.finding import Finding
from mapush.diagnosis.question import Question
from mapush.job.profile import Profile
from mapush.training.space import Space


def question(root: Path, profile: Any = None, **changes: Any) -> Question:
    fields = {
        "root": root,
        "profile": profile or Profile.model_validate({}),
        "cluster": "local",
        "gpus": 0,
        "simulator": "mujoco",
        "space": Space(written=10_000_000, needed=2_000_000, checkpoints=30, kept=5),
        "checkpoint_bytes": 300_000,
    }
    return Question(**{**fields, **changes})


def profile(**fields: Any) -> Profile:
    return Profile.model_validate(fields)


def named(findings: List[Finding], name: str) -> List[Finding]:
    return [finding for finding in findings if finding.name == name]
