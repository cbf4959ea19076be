"""Where a server listens unless its operator says otherwise. Here, as the command line must not import the server."""

from __future__ import annotations

from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 1610
