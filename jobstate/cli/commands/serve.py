"""The command that runs the HTTP server: serve."""

from __future__ import annotations

import os

import click

from jobstate.cli.session import TOKEN_FILE, Session, auth_token, file_command
from jobstate.wire.address import DEFAULT_HOST, DEFAULT_PORT
from jobstate.wire.states import Dialect


@click.command("serve")
@click.option(
    "--host", default=DEFAULT_HOST, show_default=True, help="Where to listen; an address beyond loopback needs a token."
)
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port; 0 takes one that is free.",
)
@click.option(
    "--profile",
    type=click.Choice([Dialect.DOCS.value, Dialect.SDK.value]),
    default=Dialect.DOCS.value,
    show_default=True,
    help="How states are spelled.",
)
@TOKEN_FILE
@file_command
def serve(session: Session, host: str, port: int, profile: str, token_file: str | None) -> None:
    """Serve the store over HTTP until SIGINT or SIGTERM.

    Creates the file if it is missing.
    """
    try:
        from jobstate.http.server import serve as run_server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("jobstate"):
            raise
        from jobstate.core.installation import install_command

        raise click.ClickException(
            f"the server needs the package {error.name}; install it with: {install_command('http')}"
        ) from error
    token = auth_token(token_file)
    try:
        run_server(session.db, host=host, port=port, token=token, profile=profile, actor=session.actor)
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(
            f"cannot listen on {host}:{port} ({cause}); choose another --host or --port"
        ) from error
