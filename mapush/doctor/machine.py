"""What a job meets on this machine, and whether it outlives its user's login."""

from __future__ import annotations

import getpass
import os
import secrets
from pathlib import Path
from typing import Any, Dict, List, Mapping

from mapush.doctor.ask import ask
from mapush.doctor.finding import LOSS, WARNING, Finding
from mapush.doctor.look import look
from mapush.doctor.question import Question
from mapush.launch.node import trainer
from mapush.launch.request import LOCAL

SECTION = "machine"


def examine_machine(question: Question) -> List[Finding]:
    """Look from here: where jobs of this machine run, or a login node that may be like a node."""
    is_local = question.cluster == LOCAL
    gpus = question.gpus if is_local else 0
    request = question.request(gpus).model_dump()
    environment = sent_off(request)
    if is_local:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        if not gpus or shown is not None:
            environment["CUDA_VISIBLE_DEVICES"] = (shown or "") if gpus else ""
    found = look(SECTION, request, environment, question.wanted(gpus))
    if is_local:
        return [*found, *_after_logout()]
    return [_softened(finding) for finding in found]


def sent_off(request: Mapping[str, Any]) -> Dict[str, str]:
    """The environment of a job's child shell, as far as this machine decides it."""
    return trainer.environment(os.environ, request, f"doctor-{secrets.token_hex(4)}", 0)


def _softened(finding: Finding) -> Finding:
    """What is missing here need not be missing on the nodes."""
    if finding.level != LOSS or finding.section != SECTION:
        return finding
    cost = f"{finding.cost}, if it is the same on the nodes: --on-node looks there"
    return finding._replace(level=WARNING, cost=cost)


def _after_logout() -> List[Finding]:
    """Whether the background jobs of a user end with the login."""
    login = "org.freedesktop.login1"
    of_login = [login, "/org/freedesktop/login1", f"{login}.Manager", "KillUserProcesses"]
    kills = ask(["busctl", "get-property", *of_login], 5.0).out.strip() == "b true"
    if not kills or Path("/var/lib/systemd/linger", getpass.getuser()).exists():
        return []
    cost = "jobs end when you log out; mapush.submit --job-id resumes one"
    what = "KillUserProcesses=yes"
    return [Finding(SECTION, "logout", WARNING, what, cost, "loginctl enable-linger")]
