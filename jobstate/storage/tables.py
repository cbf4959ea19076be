"""The tables, and how the fields of a job are spread over them.

`jobs` holds what changes, and is narrow, because every update rewrites the row; `job_specs` holds what never does.
A field of `Job` and its column share a name, but for the ending that tells how it is stored: `created_us` is
`created_at`, `labels_json` is `labels`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import peewee
from peewee import SQL, BigIntegerField, FloatField, IntegerField, TextField

from jobstate.domain.job import Job, StopMode, StopOutcome
from jobstate.domain.lifecycle import CLAIMABLE, LEASED, STOP_PENDING, State
from jobstate.domain.logs import TROUBLE
from jobstate.domain.shape import SHAPE, TOGETHER
from jobstate.storage.compiled import equals_one, listed


def column_of(field: str) -> str:
    """The column in which a field of `Job` is stored."""
    if field.endswith("_us"):
        return field.removesuffix("_us") + "_at"
    return field.removesuffix("_json")


_STORED: Final = tuple(field for field in Job._fields if field != "deduplicated")
SPEC_FIELDS: Final = _STORED[_STORED.index("pipeline_id") :]
HOT_FIELDS: Final = _STORED[: _STORED.index("pipeline_id")]
FIXED_FIELDS: Final = ("id", "kind", "node_id", "priority", "key", "created_us")
MUTABLE_FIELDS: Final = tuple(field for field in HOT_FIELDS if field not in FIXED_FIELDS)
_CLAIM_WRITES: Final = (
    *("state", "worker_id", "lease_expires_us", "claimed_us", "clean", "updated_us"),
    *("trigger", "actor", "reason", "detail_json"),
)
_EMPTY_WHILE_CLAIMABLE: Final = tuple(presence.field for presence in SHAPE if not presence.allowed & CLAIMABLE)
CLAIM_FIELDS: Final = tuple(field for field in _STORED if field not in (*_CLAIM_WRITES, *_EMPTY_WHILE_CLAIMABLE))
"""What a claim must read: not what it overwrites, nor what a claimable job cannot hold. Each column read costs."""

OVERDUE_AT: Final = (
    "CASE WHEN worker_id IS NULL THEN 0 ELSE min(lease_expires_at, coalesce(stop_deadline_at, lease_expires_at)) END"
)
"""When somebody has to settle a job in a leased state: at once where nobody holds it."""
IS_CLAIMABLE: Final = equals_one("state", CLAIMABLE)
IS_LEASED: Final = equals_one("state", LEASED)
IS_LIVE: Final = "finished_at IS NULL"
IS_ENDED: Final = "finished_at IS NOT NULL"
IS_TROUBLE: Final = equals_one("level", TROUBLE)
"""The conditions of the partial indexes. A statement uses one only when it contains the same text.

A row has a finish time exactly when its state is terminal: the guards see to it.
"""


_FREQUENT: Final = (State.RUNNING, State.COMPLETED, State.SCHEDULED)
_ORDER: Final = (*_FREQUENT, *(state for state in State if state not in _FREQUENT))
_WORDS: Final = (("stop_mode", StopMode), ("stop_outcome", StopOutcome))


def shape_condition(row: str = "", states: Collection[State] = _ORDER) -> str:
    """What every row must fulfil, as SQL; `row` is a prefix such as `NEW.`.

    For each state its own row of comparisons, the frequent ones first: SQLite leaves such a condition at the first
    comparison that decides it. A list behind `IN` would be built anew at every write.
    """
    fits = [f"{row}state = '{state}'{''.join(_presence(state, row))}" for state in _ORDER if state in states]
    counts = (
        f"{row}failures BETWEEN 0 AND {row}attempt AND {row}attempt <= {row}lease_token AND {row}clean BETWEEN 0 AND 1"
    )
    return f"({' OR '.join(fits)}) AND {counts}"


def _presence(state: State, row: str) -> Iterator[str]:
    """What must be there in a state and what must not; and of what may be, whether it fits the rest."""
    maybe = set()
    for field, required, allowed in SHAPE:
        column = f"{row}{column_of(field)}"
        if state in required:
            yield f" AND {column} IS NOT NULL"
        elif state not in allowed:
            yield f" AND {column} IS NULL"
        else:
            maybe.add(field)
        for name, words in _WORDS:
            if field == name and state in allowed:
                known = equals_one(column, words)
                yield f" AND {known}" if state in required else f" AND ({column} IS NULL OR {known})"
    for left, right in TOGETHER:
        if maybe & {left, right}:
            yield f" AND ({row}{column_of(left)} IS NULL) = ({row}{column_of(right)} IS NULL)"


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
        """The hot row: what the claim looks for and what a transition changes."""

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

        class Meta:
            constraints = (peewee.Check("id > 0"), peewee.Check(shape_condition()))

    class Specs(Table):
        """What a job was submitted with, the descriptor last: a reader of the rest need not walk over it."""

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
        """How far a job got, per table that it writes."""

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
        """The points from which a job can go on."""

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
        """What the subtasks of a job have counted."""

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
        """What a job says, numbered by job, so that its newest entries lie side by side."""

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
        """The counter of runs of each pipeline; it outlives them, so that no `run_id` is used twice."""

        table = "pipelines"
        pipeline_id = TextField(primary_key=True)
        last_run_id = IntegerField()

        class Meta:
            without_rowid = True

    class Lineages(Table):
        """The newest token of the restarts that were removed; it outlives them, so that tokens only rise."""

        table = "lineages"
        root_id = IntegerField(primary_key=True)
        newest_token = IntegerField()

    class Workers(Table):
        """The workers that said they are there."""

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
        """What remains of a deleted job."""

        table = "deletions"
        id = IntegerField(primary_key=True)
        kind = TextField()
        state = TextField()
        at = BigIntegerField()
        actor = TextField()
        reason = TextField(null=True)

    class Edges(Table):
        """The lifecycle as the guards look it up."""

        table = "lifecycle_edges"
        from_state = TextField()
        trigger = TextField()
        to_state = TextField()

        class Meta:
            primary_key = peewee.CompositeKey("from_state", "trigger", "to_state")
            without_rowid = True

    class Meta(Table):
        """The version of the schema."""

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


def indexes(prefix: str) -> tuple[str, ...]:
    """The indexes as SQL. Each further one costs a write about 12 %: each is earned, and partial where it can be."""
    return (
        # The claim: one lane per kind and node, with the order of the claim inside; priority first, skipped through.
        f"CREATE INDEX {prefix}jobs_claimable ON {prefix}jobs (priority, kind, node_id, available_at, id) "
        f"WHERE {IS_CLAIMABLE}",
        # Settling: what is overdue, in the order in which it became so.
        f"CREATE INDEX {prefix}jobs_overdue ON {prefix}jobs ({OVERDUE_AT}) WHERE {IS_LEASED}",
        # One live job per key.
        f"CREATE UNIQUE INDEX {prefix}jobs_live_key ON {prefix}jobs (key) WHERE key IS NOT NULL AND {IS_LIVE}",
        # Listing and counting what is live, among any number of jobs that have ended.
        f"CREATE INDEX {prefix}jobs_live ON {prefix}jobs (id, state, finished_at) WHERE {IS_LIVE}",
        # Listing, counting and pruning what has ended, by how it ended.
        f"CREATE INDEX {prefix}jobs_ended ON {prefix}jobs (state, id, finished_at) WHERE {IS_ENDED}",
        # A second restart looks for the first.
        f"CREATE INDEX {prefix}job_specs_restarted ON {prefix}job_specs (restarted_from) "
        "WHERE restarted_from IS NOT NULL",
        # Its tokens go on from those of the whole lineage.
        f"CREATE INDEX {prefix}job_specs_lineage ON {prefix}job_specs (root_id) WHERE restarted_from IS NOT NULL",
        f"CREATE UNIQUE INDEX {prefix}job_events_seq ON {prefix}job_events (job_id, seq)",
        f"CREATE INDEX {prefix}deletions_at ON {prefix}deletions (at)",
        f"CREATE UNIQUE INDEX {prefix}job_checkpoints_epoch ON {prefix}job_checkpoints (root_id, epoch)",
        f"CREATE INDEX {prefix}job_checkpoints_job ON {prefix}job_checkpoints (job_id, status, epoch)",
        # The few warnings and errors among any number of entries.
        f"CREATE INDEX {prefix}job_logs_trouble ON {prefix}job_logs (job_id, number) WHERE {IS_TROUBLE}",
    )


def views(prefix: str) -> tuple[str, ...]:
    """The views for people with `sqlite3` at hand; times are readable and UTC."""

    def readable(column: str) -> str:
        return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000000.0, 'unixepoch')"

    return (
        f"CREATE VIEW {prefix}live_jobs AS SELECT id, state, kind, worker_id, attempt, priority, "
        f"{readable('created_at')} AS created, {readable('available_at')} AS available, "
        f"{readable('lease_expires_at')} AS lease_expires, {readable('stop_deadline_at')} AS stop_deadline, "
        f"stop_reason FROM {prefix}jobs WHERE {IS_LIVE}",
        f"CREATE VIEW {prefix}job_durations AS SELECT id, state, kind, attempt, {readable('created_at')} AS created, "
        f"{readable('started_at')} AS started, {readable('finished_at')} AS finished, "
        f"(started_at - created_at) / 1000000.0 AS waited_seconds, "
        f"(finished_at - started_at) / 1000000.0 AS ran_seconds FROM {prefix}jobs",
        f"CREATE VIEW {prefix}stuck_jobs AS SELECT id, state, kind, worker_id, {readable('lease_expires_at')} AS "
        f"lease_expires, {readable('stop_deadline_at')} AS stop_deadline, CASE WHEN worker_id IS NULL THEN "
        f"'a stop waits for nobody' WHEN state IN {listed(STOP_PENDING)} AND stop_deadline_at <= lease_expires_at "
        f"THEN 'past its stop deadline' ELSE 'its lease ran out' END AS why FROM {prefix}jobs "
        f"WHERE {IS_LEASED} AND {OVERDUE_AT} <= (julianday('now') - 2440587.5) * 86400000000",
    )


def _never_reused() -> peewee.AutoField:
    return peewee.AutoField(constraints=[SQL("AUTOINCREMENT")])
