"""`/openapi.json` of each profile, kept as files: `python -m tests.adapters.golden_openapi --write` renews them.

That of `docs` is kept whole, those of the other profiles as what differs from it. Prose is left out: many of the texts
are docstrings of the domain, which no client depends on.
"""

from __future__ import annotations

import json
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

import jobstate
from jobstate.http import Settings, create_app
from jobstate.wire.states import Dialect

FOLDER: Final = Path(__file__).parent
WHOLE: Final = Dialect.DOCS


def kept(dialect: Dialect) -> Path:
    """The file about this profile."""
    return FOLDER / f"{dialect.value}.{'json' if dialect is WHOLE else 'diff'}"


def content(dialect: Dialect) -> str:
    """What that file has to hold."""
    if dialect is WHOLE:
        return _described(dialect)
    ours, theirs = (_described(one).splitlines(keepends=True) for one in (dialect, WHOLE))
    return "".join(unified_diff(theirs, ours, kept(WHOLE).name, dialect.value))


def _described(dialect: Dialect) -> str:
    """What a server of this profile answers, without the version of the package; the order of keys counts."""
    with jobstate.open(":memory:") as store:
        described = create_app(store, Settings(dialect=dialect)).openapi()
    described["info"]["version"] = "VERSION"
    return json.dumps(_without_prose(described), indent=1, ensure_ascii=False) + "\n"


def _without_prose(value: Any) -> Any:
    if isinstance(value, dict):
        prose = {name for name, part in value.items() if name == "description" and isinstance(part, str)}
        return {name: _without_prose(part) for name, part in value.items() if name not in prose}
    return [_without_prose(part) for part in value] if isinstance(value, list) else value
