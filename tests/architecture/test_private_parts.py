"""The private parts of other packages that jobstate touches are as it expects: an upgrade that moves one fails here.

What to do then is in each test: each names the file that touches the part, and what it takes from it.
"""

from __future__ import annotations

import inspect
import sqlite3

import peewee
from uvicorn import Server

from jobstate.domain import validation


def test_the_encoder_of_json_is_made_in_c_and_takes_what_validation_passes() -> None:
    """`domain/validation.py` makes one encoder for all descriptors; `_prepared` there says how."""
    assert validation._encoded != validation._ENCODER.encode, "it fell back to the encoder's own way: right, and slower"


def test_a_transaction_of_peewee_keeps_how_it_began() -> None:
    """`storage` refuses a caller's transaction that did not begin with IMMEDIATE; ask for that otherwise."""
    database = peewee.SqliteDatabase(":memory:")
    with database.atomic("IMMEDIATE"):
        (begun,) = database._state.transactions
        given, named = begun._begin_args
        assert [*given, *named.values()] == ["IMMEDIATE"]
    database.close()
    assert hasattr(peewee.SqliteDatabase(None, pragmas=()), "_lock_type")


def test_a_connection_of_peewee_runs_its_first_statement_in_the_hooks() -> None:
    """`storage/connections.py` compares the file with the one it knows before that; find that moment anew."""
    moments: list[str] = []

    class Hooked(peewee.SqliteDatabase):  # type: ignore[misc]
        def _add_conn_hooks(self, connection: sqlite3.Connection) -> None:
            connection.set_trace_callback(moments.append)
            moments.append("hooks")
            super()._add_conn_hooks(connection)

    database = Hooked(":memory:", pragmas=[("synchronous", "FULL")])
    database.connect()
    database.close()
    assert moments == ["hooks", "PRAGMA synchronous = FULL;"]


def test_peewee_builds_the_statement_that_creates_a_table() -> None:
    """`storage` compares the frozen SQL of the schema with what the models come to; take `SchemaManager` apart anew."""

    class Some(peewee.Model):  # type: ignore[misc]
        name = peewee.TextField()

    text, values = peewee.SchemaManager(Some, peewee.SqliteDatabase(None))._create_table(safe=False).query()
    assert (text.startswith('CREATE TABLE "some"'), list(values)) == (True, [])
    assert Some._meta.sorted_field_names == ["id", "name"]
    assert Some._meta.table_name == "some"


def test_a_server_of_uvicorn_keeps_the_signals_that_it_caught() -> None:
    """`http` clears them, so that a server that was asked to end returns; otherwise the signal is raised once more."""
    assert "_captured_signals" in inspect.getsource(Server)
