"""Everything about one run, for a person to read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Sequence, Tuple

from rich.console import Console

from mapush.arguments import command_line
from mapush.checkpoint import manifest
from mapush.checkpoint.store import CheckpointEntry
from mapush.errors import CheckpointError
from mapush.evaluation import success_rates
from mapush.evaluation.scores import scores_of
from mapush.files import size_of
from mapush.runs import record
from mapush.runs.directory import CHECKPOINTS, RunDirectory
from mapush.runs.lease import local_time, trainer_of
from mapush.runs.listing import open_run
from mapush.runs.pins import living_pins
from mapush.runs.record import Interruption, RunRecord, seconds_away
from mapush.views import tables
from mapush.views.standing import Queue, of_run

_INTERRUPTIONS = (
    "time",
    "signal",
    "checkpoint at",
    "steps lost",
    "seconds lost",
    "seconds away",
    "node",
    "restart",
)


def show_run(root: Path, name: str) -> None:
    """Print what is known of one run.

    Raises:
        RequestError: There is no such run, or its success_rate.txt cannot be read.
        StorageError: A directory cannot be listed.
    """
    out = tables.screen()
    run = open_run(root, name)
    found = run.read()
    entries = run.entries()
    status, why = of_run(run, found, Queue())
    out.print(f"{run.name}: {status}{f' ({tables.plain(why)})' if why else ''}")
    _show_pairs(out, _about(run, found, entries))
    for heading in ("settings", "recipe"):
        values = found.more.get(heading)
        if isinstance(values, Mapping):
            out.print(f"\n{heading}")
            _show_pairs(out, [(tables.plain(str(each)), values[each]) for each in values])
    _show_interruptions(out, found.interruptions)
    _show_checkpoints(out, run, entries)
    _show_figures(out, run)
    out.print("\nwhat to do next")
    for line in _what_next(run, found, entries):
        out.print(f"  {line}")


def _about(
    run: RunDirectory, found: RunRecord, entries: List[CheckpointEntry]
) -> Iterator[Tuple[str, Any]]:
    total = found.total_steps
    done = f"{entries[-1].step if entries else 0:,}"
    trainer = trainer_of(run)
    yield "experiment", f"{found.exp} ({found.task})"
    yield "steps", done if total is None else f"{done} of {total:,}"
    yield "started", found.started
    yield "results", str(run.results)
    yield "live", f"{run.live}{'' if run.live.is_dir() else ' (moved to the results)'}"
    yield "owner", f"{trainer or f'{found.owner}, gives no heartbeat now'}"
    yield "command", shlex.join(found.command)
    if found.more.get("checkpoint"):
        yield "began from", found.more["checkpoint"]
    yield "seed", found.seed
    yield "versions", ", ".join(f"{name} {found.versions[name]}" for name in found.versions)
    for pin in living_pins(run.part(CHECKPOINTS), now=local_time):
        yield "in use for", str(pin)


def _show_pairs(out: Console, pairs: Any) -> None:  # noqa: ANN401
    rows = [(name, tables.plain(value)) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        out.print(f"  {name.ljust(width)}  {value}")


def _show_interruptions(out: Console, notes: Sequence[Interruption]) -> None:
    """Print what the interruptions have cost, one line each and in all."""
    if not notes:
        out.print("\nnever interrupted")
        return
    out.print(f"\n{len(notes)} interruption{'s' if len(notes) > 1 else ''}")
    rows = [
        (
            tables.plain(each.time),
            tables.plain(each.signal),
            f"{each.step:,}",
            f"{each.steps_lost:,}",
            f"{each.seconds_lost:.1f}",
            "-" if each.seconds_away is None else f"{each.seconds_away:.1f}",
            tables.plain(each.host),
            "-" if each.restart is None else f"{each.restart}",
        )
        for each in notes
    ]
    steps = sum(each.steps_lost for each in notes)
    seconds = sum(each.seconds_lost for each in notes)
    away = f"{seconds_away(notes):.1f}"
    rows.append(("in all", "", "", f"{steps:,}", f"{seconds:.1f}", away, "", ""))
    tables.show_table(out, _INTERRUPTIONS, rows, right=(*_INTERRUPTIONS[2:6], "restart"))


def _show_checkpoints(out: Console, run: RunDirectory, entries: List[CheckpointEntry]) -> None:
    sizes = {entry.step: size_of(entry.path) for entry in entries}
    total = tables.human_bytes(sum(sizes.values()))
    out.print(f"\n{len(entries)} checkpoints, {total}, in {run.part(CHECKPOINTS)}")
    if not entries:
        return
    scores = scores_of(entries, run.part(success_rates.FILE_NAME))
    headings = ("step", "size", "created", "success", "by")
    rows = [
        (
            f"{entry.step:,}",
            tables.human_bytes(sizes[entry.step]),
            _created(entry),
            f"{scores[entry.step].rate:.3f}" if entry.step in scores else "-",
            scores[entry.step].origin if entry.step in scores else "",
        )
        for entry in entries
    ]
    tables.show_table(out, headings, rows, right=("step", "size", "success"))


def _created(entry: CheckpointEntry) -> str:
    try:
        return tables.plain(manifest.read(entry.manifest).created)
    except CheckpointError:
        return "its manifest is damaged; see mapush.runs verify"


def _show_figures(out: Console, run: RunDirectory) -> None:
    path = run.part(success_rates.FILE_NAME)
    figures = success_rates.read_success_rates(path)
    if not figures:
        out.print("\nnot evaluated yet")
        return
    out.print(f"\n{path}")
    own = list(dict.fromkeys(name for each in figures for name in each.metrics))
    short = (name.partition(" ")[0] for name in own)
    headings = ("step", "success", "95% interval", "episodes", "time [s]", *short)
    rows = [
        (
            f"{each.step:,}",
            f"{each.success_rate:.3f}",
            f"{each.low:.3f} to {each.high:.3f}",
            f"{each.episodes}",
            f"{each.finished_time:.2f}",
            *(f"{each.metrics[name]:.4f}" if name in each.metrics else "-" for name in own),
        )
        for each in figures
    ]
    tables.show_table(out, headings, rows, right=headings)


def _what_next(
    run: RunDirectory, found: RunRecord, entries: List[CheckpointEntry]
) -> Iterator[str]:
    trainer = trainer_of(run)
    if trainer is not None:
        yield f"nothing is to be done: {trainer}, trains it; follow it in {run.log}"
    elif found.status == record.COMPLETE and entries:
        more = 2 * max(found.total_steps or 0, entries[-1].step)
        words = ("--checkpoint", str(entries[-1].module), "--train_timesteps", str(more))
        yield f"train longer:  {command_line('mapush.train', *words, root=run.root)}"
        yield f"evaluate all:  {command_line('mapush.test', '--run', str(run.results))}"
    elif found.status != record.COMPLETE:
        if found.owner.job_id:
            yield f"when job {found.owner.job_id} is started again, it resumes by itself"
        yield f"by hand:  {command_line('mapush.train', '--run', run.name, root=run.root)}"
