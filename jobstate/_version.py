"""The version, for every module that names it; `jobstate.__version__` is this one."""

from __future__ import annotations

__version__ = "0.1.0"
