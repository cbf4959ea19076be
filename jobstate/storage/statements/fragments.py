"""Parts that several statements share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from peewee import JOIN, SQL, NodeList, Select, fn

from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS
from jobstate.storage.mapping import HOT_FIELDS, SPEC_FIELDS, column_of
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.compile import Param, literal

PRESENTED: Final = "lease_token + seq"
"""The `fence` of a holder's statement that writes an entry and whose WHERE compares the token."""


def hot_columns(tables: Tables) -> list[Any]:
    """The columns of `jobs`, in the order of the fields of `Job`."""
    return [getattr(tables.jobs, column_of(field)) for field in HOT_FIELDS]


def spec_columns(tables: Tables) -> list[Any]:
    """The columns of `job_specs`, in the order of the fields of `Job`.

    A trigger cannot demand the second row of a submission. Where a hostile writer left it out, defaults replace it,
    so that such a job (which the audit names) does not keep others from being claimed or listed.
    """
    jobs, specs = tables.jobs, tables.specs
    defaults = {
        "root_id": jobs.id,
        "max_attempts": literal(DEFAULT_MAX_ATTEMPTS),
        "labels_json": literal("{}"),
        "descriptor_json": literal("{}"),
    }
    return [
        fn.COALESCE(getattr(specs, column_of(field)), defaults[field])
        if field in defaults
        else getattr(specs, column_of(field))
        for field in SPEC_FIELDS
    ]


def columns_of(tables: Tables, fields: Iterable[str]) -> list[Any]:
    """The columns of these fields of `Job`."""
    known = dict(zip((*HOT_FIELDS, *SPEC_FIELDS), (*hot_columns(tables), *spec_columns(tables)), strict=True))
    return [known[field] for field in fields]


def whole_jobs(tables: Tables, *more: Any) -> Any:
    """Jobs with all the fields of `Job`, in their order, and what else is selected with them."""
    jobs, specs = tables.jobs, tables.specs
    columns = (*hot_columns(tables), *spec_columns(tables), *more)
    return jobs.select(*columns).join(specs, JOIN.LEFT_OUTER, on=(specs.job_id == jobs.id))


def held(tables: Tables) -> Any:
    """The lease with this id and token holds the job."""
    jobs = tables.jobs
    return (jobs.id == Param("id")) & (jobs.lease_token == Param("token")) & jobs.worker_id.is_null(False)


def by_index(table: Any, index: str) -> NodeList:
    """The table, read by that index and no other; the names of both begin with the prefix."""
    model: Any = table if isinstance(table, type) else table.model
    prefix = model._meta.table_name.removesuffix(model.table)
    return NodeList((table, SQL(f"INDEXED BY {prefix}{index}")))


def json_rows(name: str) -> NodeList:
    """The entries of a JSON list that is bound by name, as rows with a column `value`."""
    return NodeList((SQL("json_each("), Param(name), SQL(")")))


def union_all(parts: list[Any]) -> Any:
    """The rows of all these selects."""
    union = parts[0]
    for part in parts[1:]:
        union = union.union_all(part)
    return union


def rows_of(select: Any, alias: str) -> Any:
    """A select as a source of rows, which keeps its own order and limit."""
    named = select.alias(alias)
    return Select([named], [SQL(f"{alias}.*")])
