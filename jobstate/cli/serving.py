"""The command that serves: serve."""

from __future__ import annotations

import os

import click

from jobstate.cli.session import TOKEN_FILE, Session, auth_token, file_command


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; not loopback needs a token.")
@click.option("--port", default=1610, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option(
    "--profile", type=click.Choice(["docs", "sdk"]), default="docs", show_default=True, help="How states are spelled."
)
@TOKEN_FILE
@file_command
def serve(session: Session, host: str, port: int, profile: str, token_file: str | None) -> None:
    """Serve the store over HTTP until SIGINT or SIGTERM.

    A missing file is made.
    """
    try:
        from jobstate.http.server import serve as served
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("jobstate"):
            raise
        from jobstate.core.installation import install_command

        raise click.ClickException(
            f"the server needs the package {error.name}; install it with: {install_command('http')}"
        ) from error
    token = auth_token(token_file)
    try:
        served(session.db, host=host, port=port, token=token, profile=profile, actor=session.actor)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(
            f"cannot listen on {host}:{port} ({why}); choose another --host or --port"
        ) from error
