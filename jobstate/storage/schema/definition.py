"""The schema as this program means it: what the tables, the constraints, the guards and the lifecycle generate.

No file is made of it: the numbered SQL beside this module makes them. A test holds that both give the same text.
"""

from __future__ import annotations

import hashlib
from functools import cache

import peewee

from jobstate.storage.schema.constraints import indexes, shape_condition, views
from jobstate.storage.schema.guards import edge_rows, guards
from jobstate.storage.schema.tables import define


@cache
def definition(prefix: str) -> tuple[str, ...]:
    """The statements that would create tables, indexes, views and guards."""
    dialect = peewee.SqliteDatabase(None)
    managers = (peewee.SchemaManager(model, database=dialect) for model in define(prefix).models)
    tables = tuple(manager._create_table(safe=False).query()[0] for manager in managers)
    return (*tables, *indexes(prefix), *views(prefix), *guards(prefix))


@cache
def fingerprint() -> str:
    """Sixteen digits that change with any column, index, view, guard or edge.

    Every process computes it at its first `open`, so it leaves out peewee's text of the tables, which takes peewee
    20 times as long as all the rest.
    """
    columns = [
        (model._meta.table_name, field.column_name, type(field).__name__, field.null)
        for model in define("").models
        for field in model._meta.sorted_fields
    ]
    parts = (columns, shape_condition(), indexes(""), views(""), guards(""), edge_rows())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
