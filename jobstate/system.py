"""The one module that asks the machine for time, chance and names. All others get them passed in."""

from __future__ import annotations

import getpass
import os
import random
import time
from typing import Protocol


class Clock(Protocol):
    """The source of time of a store."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000

    monotonic = staticmethod(time.monotonic)
    """Seconds from an arbitrary start; stands still while the machine is suspended."""

    def sleep(self, seconds: float) -> None:
        """Sleep for so many seconds."""
        time.sleep(seconds)


_random = random.Random()  # noqa: S311  (jitter, no secret)
chance = _random.random
"""A random number in 0..1."""

os.register_at_fork(after_in_child=_random.seed)


def user() -> str:
    """The name of the user that runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in a bare container
        return f"uid{os.getuid()}"


def host() -> str:
    """The name of this machine."""
    return os.uname().nodename


def pid() -> int:
    """The id of this process."""
    return os.getpid()


def file_system(path: str) -> str | None:
    """The type of the file system of a path, such as `ext4` or `nfs4`; None where the machine does not list it."""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="replace") as mounts:
            rows = [line.split() for line in mounts]
    except OSError:
        return None
    real = os.path.realpath(path)
    within = [(place, kind) for _, place, kind, *_ in rows if real == place or real.startswith(place.rstrip("/") + "/")]
    return max(within, key=lambda mount: len(mount[0]))[1] if within else None
