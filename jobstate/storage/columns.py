"""How the fields of a job are spread over columns.

`jobs` holds what changes, and is narrow, because every update rewrites the row; `job_specs` holds what never does.
A field of `Job` and its column share a name, but for the ending that tells how it is stored: `created_us` is
`created_at`, `labels_json` is `labels`.
"""

from __future__ import annotations

from typing import Final

from jobstate.domain.invariants import SHAPE
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import CLAIMABLE


def column_of(field: str) -> str:
    """The column in which a field of `Job` is stored."""
    if field.endswith("_us"):
        return field.removesuffix("_us") + "_at"
    return field.removesuffix("_json")


_STORED: Final = tuple(field for field in JobRow._fields if field != "deduplicated")
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
