"""The command that shows what a job counted: metrics."""

from __future__ import annotations

from collections.abc import Iterable

import click

from jobstate.cli.options import JOB_ID, operator_option
from jobstate.cli.session import Session, command
from jobstate.cli.view import metrics as view
from jobstate.cli.view.text import terminal_width
from jobstate.wire import telemetry as wire


@click.command("metrics")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@operator_option("Only this operator, with each of its subtasks.")
@click.option("--groups", is_flag=True, help="Only the sums of all sources, all transforms and all sinks.")
@command
def metrics(session: Session, job_id: int, operator_id: str | None, *, groups: bool) -> None:
    """Show the metrics of a job, by operator.

    Records, bytes, errors and warnings of all its runs; throughput of the last minute; latency and backpressure.
    """
    if groups and operator_id is not None:
        raise click.UsageError("--operator and --groups exclude each other; give one of them")
    width = terminal_width()
    if operator_id is not None:
        with session.open() as store:
            operator = store.operator_metrics(job_id, operator_id)
        session.answer(wire.operator_document(operator), lambda: _print(view.operator_lines(operator, width)))
        return
    with session.open() as store:
        found = store.metrics(job_id)
    if not found.operators and not session.as_json:
        click.echo(f"job {job_id} has no metrics yet", err=True)
    elif groups:
        session.answer(wire.groups_document(found), lambda: _print(view.group_lines(found, width)))
    else:
        session.answer(wire.metrics_document(found), lambda: _print(view.job_lines(found, width)))


def _print(lines: Iterable[str]) -> None:
    click.echo("\n".join(lines))
