"""The command that shows what jobs count: metrics."""

from __future__ import annotations

from collections.abc import Iterable

import click

from jobstate.cli import figures, text
from jobstate.cli.parameters import JOB_ID
from jobstate.cli.session import Session, command
from jobstate.wire import telemetry as wire


@click.command("metrics")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--operator", "operator_id", metavar="ID", help="Only this operator, with each of its subtasks.")
@click.option("--groups", is_flag=True, help="Only sources, transforms and sinks, each together.")
@command
def metrics(session: Session, job_id: int, operator_id: str | None, *, groups: bool) -> None:
    """Show what a job counted, by operator.

    Records, bytes, errors and warnings over all its runs; throughput of the last minute; latency and backpressure.
    """
    if groups and operator_id is not None:
        raise click.UsageError("--operator and --groups show two things; give one of them")
    width = text.columns()
    if operator_id is not None:
        with session.open() as store:
            operator = store.operator_metrics(job_id, operator_id)
        session.answer(wire.operator_document(operator), lambda: _say(figures.operator_lines(operator, width)))
        return
    with session.open() as store:
        counted = store.metrics(job_id)
    if not counted.operators and not session.as_json:
        click.echo(f"job {job_id} has counted nothing yet", err=True)
    elif groups:
        session.answer(wire.groups_document(counted), lambda: _say(figures.group_lines(counted, width)))
    else:
        session.answer(wire.metrics_document(counted), lambda: _say(figures.job_lines(counted, width)))


def _say(lines: Iterable[str]) -> None:
    click.echo("\n".join(lines))
