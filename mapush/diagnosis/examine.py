"""Looks at everything."""

from __future__ import annotations

from typing import List

from mapush.diagnosis.container import examine_container
from mapush.diagnosis.finding import Finding
from mapush.diagnosis.machine import examine_machine
from mapush.diagnosis.node import examine_node, not_looked_at
from mapush.diagnosis.question import Question
from mapush.diagnosis.slurm import examine_slurm
from mapush.diagnosis.storage import examine_storage
from mapush.job.request import SLURM


def examine(question: Question) -> List[Finding]:
    """Everything by which a job would fail or lose work, and what is as it should be."""
    on_node: List[Finding] = []
    is_on_node = None
    if question.cluster == SLURM:
        on_node = [not_looked_at()]
        if question.on_node:
            on_node, is_on_node = examine_node(question)
    storage = examine_storage(question, is_on_node=is_on_node)
    slurm = examine_slurm(question, storage.slow) if question.cluster == SLURM else []
    return [
        *slurm,
        *on_node,
        *storage.findings,
        *examine_machine(question),
        *examine_container(question),
    ]
