"""Looks at everything."""

from __future__ import annotations

import os
from typing import List

from mapush.doctor.cluster import examine_slurm
from mapush.doctor.environment import judge_environment
from mapush.doctor.finding import LOSS, NOTE, Finding, losses
from mapush.doctor.machine import examine_machine
from mapush.doctor.node import examine_node
from mapush.doctor.question import Question
from mapush.doctor.storage import judge_kinds, try_storage
from mapush.launch.request import SLURM
from mapush.simulators import simulator_kind, uses_gpu

_SECTIONS = ("job", "environment", "slurm", "node", "machine", "storage")


def examine(question: Question) -> List[Finding]:
    """Everything by which a job would fail or lose work, and what is as it should be."""
    found = [*judge_environment(os.environ, question.cluster), *_gpus(question)]
    storage, slow = try_storage(question)
    has_root = not any(finding.name == "root" for finding in losses(storage))
    seen_on_node = False
    if question.cluster == SLURM:
        found += examine_slurm(question, slow)
        if question.on_node and has_root:
            on_node, seen_on_node = examine_node(question)
            found += on_node
        elif not question.on_node:
            what = "not looked at: its software, and whether it sees --root and scontrol"
            fix = "--on-node looks, by a job of seconds"
            found.append(Finding("node", "compute node", NOTE, what, fix=fix))
    if not seen_on_node:
        found += examine_machine(question)
    found += storage
    if has_root:
        found += judge_kinds(question, seen_on_node)
    return sorted(found, key=lambda finding: _SECTIONS.index(finding.section))


def _gpus(question: Question) -> List[Finding]:
    """Whether the simulator has a use for what is asked for, or for a GPU that is not."""
    count, simulator = question.gpus, question.settings.simulator.sim
    if count and not uses_gpu(simulator):
        what = f"--gpus {count}, and --sim {simulator} runs on the CPU"
        cost = "a GPU is taken from others and changes nothing"
        return [Finding("job", "GPUs", NOTE, what, cost, "leave --gpus out")]
    needs = simulator_kind(simulator).needs_gpu
    if not count and needs and question.settings.simulator.device != "cpu":
        what = f"--sim {simulator} runs on a GPU, and none is asked for"
        cost = "the trainer ends with exit code 2 at its start"
        return [Finding("job", "GPUs", LOSS, what, cost, "--gpus 1")]
    return []
