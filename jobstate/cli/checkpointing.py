"""The command that shows what a job can go on from: checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import click
from click.core import ParameterSource

from jobstate.cli import text
from jobstate.cli.parameters import CHECKPOINT, JOB_ID
from jobstate.cli.render import ago, blocks, field_lines, now, readable, size, span, when
from jobstate.cli.session import Session, command
from jobstate.cli.text import Cell, Column
from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.wire import pipeline

_LOOKS: Final = {CheckpointState.FAILED: "red", CheckpointState.COMPLETED: "green", CheckpointState.IN_PROGRESS: "cyan"}
_WIDE: Final = 120
_NAMES: Final = len("finished")
_OF_A_LIST: Final = ("limit", "completed")


@click.command("checkpoints")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.argument("checkpoint_id", metavar="[CHECKPOINT]", required=False, type=CHECKPOINT)
@click.option(
    "-l", "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Most checkpoints to show."
)
@click.option("--completed/--all", default=False, help="Only those to go on from; or failed and unfinished ones too.")
@command
def checkpoints(session: Session, job_id: int, checkpoint_id: int | None, limit: int, *, completed: bool) -> None:
    """Show the checkpoints of a job, newest first, or one of them."""
    context = click.get_current_context()
    if checkpoint_id is not None:
        if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _OF_A_LIST):
            raise click.UsageError("one checkpoint is no list; leave out --limit, --completed and --all")
        with session.open() as store:
            one = store.checkpoint(job_id, checkpoint_id)
        details = _details(one, now(), text.columns())
        session.answer(pipeline.checkpoint_document(one), lambda: click.echo("\n".join(details)))
        return
    with session.open() as store:
        found = store.checkpoint_slice(job_id, limit=limit, completed=True if completed else None)

    def say() -> None:
        if not found.rows:
            click.echo(f"job {job_id} has no {'completed checkpoint' if completed else 'checkpoints'} yet", err=True)
            return
        click.echo("\n".join(_table(found.rows, now(), text.columns())))
        if found.has_more:
            click.echo("there are older ones; --limit shows more", err=not sys.stdout.isatty())

    session.answer(pipeline.checkpoints_document(found), say)


def _table(found: Sequence[Checkpoint], present: datetime, width: int) -> Iterator[str]:
    """A checkpoint a line; on a narrow terminal why one failed stands where it would have been kept."""
    wide = width >= _WIDE
    head = [Column("ID"), Column("EPOCH", right=True), Column("STATE"), Column("SIZE", right=True), Column("BEGUN")]
    head += [Column("TOOK", right=True), Column("BACKEND", 1), Column("LOCATION", 3)] if wide else [Column("DETAIL", 1)]
    head += [Column("FAILURE", 2)] if wide and any(one.failure for one in found) else []
    rows = []
    for one in found:
        row = [Cell(one.id), Cell(str(one.epoch)), Cell(one.status.value, _LOOKS[one.status])]
        row += [Cell(size(one.size_bytes)), Cell(ago(one.start_time, present, units=1))]
        failure, location = Cell(one.failure or "", "red"), Cell(one.location or "")
        row += [Cell(_took(one)), Cell(one.backend or ""), location, failure] if wide else [failure]
        if not wide and one.failure is None:
            row[-1] = location
        rows.append(row[: len(head)])
    yield from text.grid(head, rows, width)


def _details(one: Checkpoint, present: datetime, width: int) -> Iterator[str]:
    """A checkpoint, a field a line, and a line for what each subtask keeps in it."""
    progress = ", ".join(f"{name} {blocks(table)}".rstrip() for name, table in one.progress.items())
    kept = "" if one.state_json is None else readable(one.state_json, width - _NAMES - 2)
    yield from field_lines(
        [
            ("id", one.id, ""),
            ("job", str(one.job_id), ""),
            ("epoch", str(one.epoch), ""),
            ("state", one.status.value, _LOOKS[one.status]),
            ("failure", one.failure or "", "red"),
            ("begun", when(one.start_time, present), ""),
            ("finished", when(one.finish_time, present), ""),
            ("took", _took(one), ""),
            ("size", size(one.size_bytes), ""),
            ("backend", one.backend or "", ""),
            ("location", one.location or "", ""),
            ("progress", progress, ""),
            ("kept", kept, ""),
        ],
        width,
        _NAMES,
    )
    if not one.operator_states:
        return
    yield ""
    head = [Column("OPERATOR", 2), Column("NAME", 1), Column("SUBTASK", right=True), Column("SIZE", right=True)]
    rows = []
    for operator in one.operator_states:
        told = [Cell(operator.operator_id), Cell(operator.operator_name or "")]
        rows.append([*told, Cell(""), Cell(size(operator.state_size))])
        rows += [
            [Cell(""), Cell(""), Cell(str(index)), Cell(size(part), "dim")] for index, part in operator.subtasks.items()
        ]
    yield from text.grid(head, rows, width)


def _took(one: Checkpoint) -> str:
    return "" if one.finish_time is None else span((one.finish_time - one.start_time).total_seconds())
