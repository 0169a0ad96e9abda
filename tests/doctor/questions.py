"""A job for the doctor to be asked about."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, List, Mapping

from mapush.doctor.finding import Finding
from mapush.doctor.question import Question
from mapush.launch.profile import Profile, load_profile
from mapush.learners.config import build_ppo
from mapush.training.config import build_config


def question(
    root: Path,
    profile: Any = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
    **changes: Any,
) -> Question:
    fields = {
        "root": root,
        "profile": profile or load_profile(None, {}),
        "cluster": "local",
        "gpus": 0,
        "settings": build_config({"exp": "doctor", "exp_name": "doctor", **settings}),
        "recipe": build_ppo("default", {}),
    }
    return Question(**{**fields, **changes})


def profile(**fields: Any) -> Profile:
    return load_profile(None, fields)


def levels(findings: List[Finding]) -> Dict[str, str]:
    return {finding.name: finding.level for finding in findings}


def said(finding: Finding) -> str:
    return f"{finding.what} {finding.cost} {finding.fix}"
