"""The tables, as peewee models."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import peewee
from peewee import SQL, BigIntegerField, FloatField, IntegerField, TextField

from jobstate.storage.schema.constraints import shape_condition


@dataclass(frozen=True, slots=True)
class Tables:
    """The peewee models of one store; `prefix` begins the name of everything it owns in the database."""

    prefix: str
    jobs: Any
    specs: Any
    events: Any
    progress: Any
    checkpoints: Any
    metrics: Any
    logs: Any
    output: Any
    pipelines: Any
    lineages: Any
    workers: Any
    deletions: Any
    edges: Any
    meta: Any

    @property
    def models(self) -> tuple[Any, ...]:
        """Every table, in the order of creation."""
        return tuple(getattr(self, field.name) for field in fields(self) if field.name != "prefix")


def define(prefix: str) -> Tables:
    """The models of a store whose names begin with `prefix`; bound to no database."""

    def name(model: Any) -> str:
        return f"{prefix}{model.table}"

    class Table(peewee.Model):
        table = ""

        class Meta:
            strict_tables = True
            table_function = name

    class Jobs(Table):
        """The hot row: the columns that a claim reads and a transition changes."""

        table = "jobs"
        id = _never_reused()
        state = TextField()
        kind = TextField()
        node_id = TextField()
        priority = BigIntegerField()
        available_at = BigIntegerField()
        key = TextField(null=True)
        parallelism = IntegerField()
        rescale_to = IntegerField(null=True)
        attempt = IntegerField()
        failures = IntegerField()
        lease_token = IntegerField()
        worker_id = TextField(null=True)
        lease_expires_at = BigIntegerField(null=True)
        claimed_at = BigIntegerField(null=True)
        clean = IntegerField()
        stop_mode = TextField(null=True)
        stop_deadline_at = BigIntegerField(null=True)
        stop_reason = TextField(null=True)
        stop_outcome = TextField(null=True)
        failure = TextField(null=True)
        created_at = BigIntegerField()
        updated_at = BigIntegerField()
        started_at = BigIntegerField(null=True)
        finished_at = BigIntegerField(null=True)
        seq = IntegerField()
        trigger = TextField()
        actor = TextField()
        reason = TextField(null=True)
        detail = TextField(null=True)
        fence = BigIntegerField(null=True)

        class Meta:
            constraints = (peewee.Check("id > 0"), peewee.Check(shape_condition()))

    class Specs(Table):
        """The submitted fields of a job, the descriptor last: a reader of the others need not walk over it."""

        table = "job_specs"
        job_id = IntegerField(primary_key=True)
        pipeline_id = TextField(null=True)
        run_id = IntegerField(null=True)
        root_id = IntegerField()
        restarted_from = IntegerField(null=True)
        max_attempts = IntegerField()
        retry = TextField(null=True)
        labels = TextField()
        descriptor = TextField()

    class Events(Table):
        """The history; written by the triggers of `jobs` alone."""

        table = "job_events"
        id = _never_reused()
        job_id = IntegerField()
        seq = IntegerField()
        at = BigIntegerField()
        from_state = TextField(null=True)
        to_state = TextField()
        trigger = TextField()
        actor = TextField()
        reason = TextField(null=True)
        node = TextField(null=True)
        attempt = IntegerField()
        token = IntegerField()
        detail = TextField(null=True)

    class Progress(Table):
        """The progress of a job, for each table that it writes."""

        table = "job_progress"
        job_id = IntegerField()
        table_name = TextField()
        files_count = BigIntegerField()
        total_size_bytes = BigIntegerField()
        start_block = BigIntegerField(null=True)
        current_block = BigIntegerField(null=True)
        ranges = TextField()

        class Meta:
            primary_key = peewee.CompositeKey("job_id", "table_name")
            without_rowid = True

    class Checkpoints(Table):
        """The points from which a job can continue."""

        table = "job_checkpoints"
        id = _never_reused()
        job_id = IntegerField()
        root_id = IntegerField()
        epoch = IntegerField()
        status = TextField()
        token = IntegerField()
        start_at = BigIntegerField()
        finish_at = BigIntegerField(null=True)
        size_bytes = BigIntegerField()
        backend = TextField(null=True)
        location = TextField(null=True)
        failure = TextField(null=True)
        operators = TextField(null=True)
        state = TextField(null=True)
        snapshot = TextField()

    class Metrics(Table):
        """The counters of the subtasks of a job."""

        table = "job_metrics"
        job_id = IntegerField()
        operator_id = TextField()
        subtask_index = IntegerField()
        kind = TextField()
        name = TextField(null=True)
        at = BigIntegerField()
        records_in = BigIntegerField()
        records_out = BigIntegerField()
        bytes_in = BigIntegerField()
        bytes_out = BigIntegerField()
        errors = BigIntegerField()
        warnings = BigIntegerField()
        backpressure = FloatField()
        idle = BigIntegerField()
        observed = BigIntegerField()
        latency = TextField(null=True)
        samples = TextField()

        class Meta:
            primary_key = peewee.CompositeKey("job_id", "operator_id", "subtask_index")
            without_rowid = True

    class Logs(Table):
        """Log entries, numbered by job, so that its newest entries lie side by side."""

        table = "job_logs"
        job_id = IntegerField()
        number = IntegerField()
        at = BigIntegerField()
        level = TextField()
        operator_id = TextField(null=True)
        task_index = IntegerField(null=True)
        message = TextField()
        details = TextField(null=True)
        record = TextField(null=True)

        class Meta:
            primary_key = peewee.CompositeKey("job_id", "number")
            without_rowid = True

    class Output(Table):
        """Rows that operators emitted, numbered by job and operator."""

        table = "job_output"
        job_id = IntegerField()
        operator_id = TextField()
        number = IntegerField()
        at = BigIntegerField()
        record = TextField()

        class Meta:
            primary_key = peewee.CompositeKey("job_id", "operator_id", "number")
            without_rowid = True

    class Pipelines(Table):
        """The run counter of each pipeline; it outlives the runs, so that no `run_id` is used twice."""

        table = "pipelines"
        pipeline_id = TextField(primary_key=True)
        last_run_id = IntegerField()

        class Meta:
            without_rowid = True

    class Lineages(Table):
        """The newest token and epoch of the deleted jobs of each lineage, so that both only rise."""

        table = "lineages"
        root_id = IntegerField(primary_key=True)
        newest_token = IntegerField()
        newest_epoch = IntegerField()

    class Workers(Table):
        """The registered workers."""

        table = "workers"
        node_id = TextField(primary_key=True)
        started_at = BigIntegerField()
        heartbeat_at = BigIntegerField()
        host = TextField()
        pid = IntegerField()
        kinds = TextField(null=True)
        concurrency = IntegerField()

        class Meta:
            without_rowid = True

    class Deletions(Table):
        """The record of a deleted job."""

        table = "deletions"
        id = IntegerField(primary_key=True)
        kind = TextField()
        state = TextField()
        at = BigIntegerField()
        actor = TextField()
        reason = TextField(null=True)

    class Edges(Table):
        """The edges of the lifecycle, for the guards."""

        table = "lifecycle_edges"
        from_state = TextField()
        trigger = TextField()
        to_state = TextField()

        class Meta:
            primary_key = peewee.CompositeKey("from_state", "trigger", "to_state")
            without_rowid = True

    class Meta(Table):
        """The version of the schema and its fingerprint."""

        table = "meta"
        name = TextField(primary_key=True)
        value = TextField()

        class Meta:
            without_rowid = True

    return Tables(
        prefix,
        Jobs,
        Specs,
        Events,
        Progress,
        Checkpoints,
        Metrics,
        Logs,
        Output,
        Pipelines,
        Lineages,
        Workers,
        Deletions,
        Edges,
        Meta,
    )


def _never_reused() -> peewee.AutoField:
    return peewee.AutoField(constraints=[SQL("AUTOINCREMENT")])
