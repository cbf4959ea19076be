"""`python -m benchmarks [--quick] [NAME…]`: every benchmark, or those named. Figures, no verdict: machines vary."""

from __future__ import annotations

import argparse
import platform
import sqlite3

from benchmarks import aio, claims, heartbeats, http, lifecycle, observers, telemetry

BENCHMARKS = {
    "lifecycle": lifecycle.measure,
    "claims": claims.measure,
    "heartbeats": heartbeats.measure,
    "telemetry": telemetry.measure,
    "observers": observers.measure,
    "http": http.measure,
    "aio": aio.measure,
}


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that they run, not how fast")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}")
    for name in arguments.names or BENCHMARKS:
        print(f"\n{name}")
        BENCHMARKS[name](quick=arguments.quick)


if __name__ == "__main__":
    main()
