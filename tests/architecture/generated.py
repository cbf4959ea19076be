"""The parts of README and the guides that are made from the code.

`python -m tests.architecture.generated --write` renews them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from typing import Final

import click
from prometheus_client import CollectorRegistry

import jobstate
from jobstate.cli.registry import ALIASES, COMMON_OPTIONS, cli
from jobstate.cli.session import exit_code
from jobstate.client import errors as client_errors
from jobstate.domain.errors import JobStateError
from jobstate.domain.lifecycle import AUTHORITY, LIFECYCLE, Authority, State, Trigger
from jobstate.domain.state_machine import mermaid
from jobstate.http import create_app
from jobstate.http.metrics import ServerMetrics
from jobstate.http.store_provider import StoreProvider
from jobstate.telemetry.prometheus import JobsByState, PrometheusObserver
from tests.architecture.documents import DOCUMENTS, ROOT
from tests.unit.test_errors import FIELDS

_EVERYWHERE: Final = {"400", "401", "403", "413", "415", "500", "503"}


def lifecycle_table() -> str:
    """From each state, where each trigger leads."""
    head = ["from \\ trigger", *(trigger.value for trigger in Trigger)]
    rows = [head, ["---"] * len(head)]
    for state in State:
        row = LIFECYCLE[state]
        rows.append([f"**{state}**", *(str(row.get(trigger, "")) for trigger in Trigger)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n"


def authority_table() -> str:
    """Who may pull each trigger."""
    lines = ["| trigger | who may pull it |", "|---|---|"]
    for who in Authority:
        triggers = ", ".join(f"`{trigger}`" for trigger in Trigger if AUTHORITY[trigger] is who)
        lines.append(f"| {triggers} | {who} |")
    return "\n".join(lines) + "\n"


def diagram() -> str:
    """The lifecycle drawn."""
    return f"```mermaid\n{mermaid()}```\n"


def error_table() -> str:
    """Every error, what it says, whether the same call may succeed later, and how a command ends with it."""
    lines = ["| error | meaning | retry? | exit code |", "|---|---|---|---|"]
    assert client_errors.ServerUnreachable in _below(JobStateError)  # a tree is as complete as what was imported
    for kind in sorted(_below(JobStateError), key=lambda kind: kind.__name__):
        example = kind.__new__(kind)
        vars(example).update(FIELDS.get(kind, {}))
        meaning = (kind.__doc__ or "").split("\n")[0]
        lines.append(
            f"| `{kind.__name__}` | {meaning} | {'yes' if example.retryable else 'no'} | {exit_code(example)} |"
        )
    return "\n".join(lines) + "\n"


def command_table() -> str:
    """Every command with its arguments, its own options, and what it does."""
    lines = ["| command | options of its own | what it does |", "|---|---|---|"]
    group = click.Context(cli)
    for name in cli.list_commands(group):
        command = cli.get_command(group, name)
        assert command is not None
        context = click.Context(command, parent=group, info_name=name)
        usage = [name, *(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")]
        options = [max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)]
        own = ", ".join(f"`{option}`" for option in options if option not in COMMON_OPTIONS)
        other = "".join(f", `{alias}`" for alias, meant in ALIASES.items() if meant == name)
        lines.append(f"| `{' '.join(usage)}`{other} | {own} | {(command.help or '').splitlines()[0]} |")
    return "\n".join(lines) + "\n"


def route_table() -> str:
    """Every route of the HTTP API, what it takes, and what it does."""
    lines = ["| method, path | parameters | what it does | answers |", "|---|---|---|---|"]
    with jobstate.open(":memory:") as store:
        description = create_app(store).openapi()
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            queries = [entry["name"] for entry in operation.get("parameters", []) if entry["in"] == "query"]
            named = ", ".join(f"`{name}`" for name in queries)
            told = operation["description"].split("\n")[0]
            own = [status for status in operation["responses"] if status not in _EVERYWHERE]
            lines.append(f"| {method.upper()} {path} | {named} | {told} | {', '.join(own)} |")
    return "\n".join(lines) + "\n"


def metric_table() -> str:
    """Every metric for Prometheus, and where it is: at an observer, a server, or both."""
    observed = CollectorRegistry()
    PrometheusObserver(observed)
    with jobstate.open(":memory:") as store:
        observed.register(JobsByState(store.counts))
        found = {"observer": _metrics(observed), "server": _metrics(ServerMetrics(StoreProvider(store)).registry)}
    lines = ["| metric | labels | counts or measures | where |", "|---|---|---|---|"]
    for name, (labels, text) in {**found["observer"], **found["server"]}.items():
        where = ", ".join(place for place, metrics in found.items() if name in metrics)
        lines.append(f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {text} | {where} |")
    return "\n".join(lines) + "\n"


def _metrics(registry: CollectorRegistry) -> dict[str, tuple[tuple[str, ...], str]]:
    """The labels and the text of each metric, as Prometheus names it."""
    found = {}
    for collector in registry._collector_to_names:
        (family,) = collector.collect()
        own = isinstance(collector, JobsByState)
        labels = tuple(family.samples[0].labels) if own else collector._labelnames  # type: ignore[attr-defined]
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (labels, family.documentation.rstrip("."))
    return found


def layers() -> str:
    """The packages from top to bottom, as `lint-imports` checks them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    lines = ["| layer | packages |", "|---|---|"]
    for number, layer in enumerate(contract["layers"], 1):
        lines.append(f"| {number} | {', '.join(f'`{name}`' for name in layer.split(' | '))} |")
    return "\n".join(lines) + "\n"


def _below(kind: type[JobStateError]) -> set[type[JobStateError]]:
    return {kind for sub in kind.__subclasses__() for kind in (sub, *_below(sub))}


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "lifecycle table": lifecycle_table,
    "authority table": authority_table,
    "lifecycle diagram": diagram,
    "error table": error_table,
    "command table": command_table,
    "route table": route_table,
    "metric table": metric_table,
    "layers": layers,
}


def parts_in(text: str) -> list[str]:
    """The names of the generated parts that a document has a place for."""
    return re.findall(r"^<!-- generated: (.*) -->$", text, re.MULTILINE)


def renewed(text: str) -> str:
    """A document with every generated part as the code says now."""
    for name in parts_in(text):
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(begin)
        text = before + begin + PARTS[name]() + rest[rest.index(end) :]
    return text


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    for document in DOCUMENTS.values():
        document.write_text(renewed(document.read_text()))
