"""`jobstate.connect`: checks a URL and a token, and makes a client of them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from jobstate.client.client import JobClient
from jobstate.core.arguments import Duration
from jobstate.core.installation import install_command
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import Actor
from jobstate.system import SystemClock, user


def connect(url: str, *, token: str | None = None, actor: str | None = None, timeout: Duration = 10.0) -> JobClient:
    """Reach the jobs of a `jobstate serve` elsewhere. It only checks its arguments; the first call connects.

    Args:
        url: Where the server listens, such as `http://127.0.0.1:1610`, or `https://…` behind a proxy of its own, with
            a certificate that this machine trusts. Proxies that the environment names are not used.
        token: The token of the server, where it was started with one.
        actor: Who acts, in the history, unless a call says otherwise; default `python:USER`.
        timeout: How long to wait for a connection, and for each answer, > 0.

    Raises:
        InvalidRequest: An argument is not as described.
        ModuleNotFoundError: urllib3 is not installed.
    """
    patience = validation.seconds_of("timeout", timeout)
    if patience == 0:
        raise InvalidRequest("timeout", "must be greater than 0")
    by = Actor(f"python:{user()}" if actor is None else validation.text("actor", actor))
    checked_url, checked_token = _url(url), _token(token)
    try:
        from jobstate.client.connection import Connection
    except ModuleNotFoundError as error:
        if error.name != "urllib3":
            raise
        needed = f"talking to a server needs the package urllib3; install it with: {install_command('client')}"
        raise ModuleNotFoundError(needed, name="urllib3") from error
    return JobClient(Connection(checked_url, checked_token, patience, SystemClock()), by)


def _url(url: str) -> str:
    """The checked URL, without a slash at its end."""
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        shown = "this" if "@" in str(url) else repr(url)
        raise InvalidRequest("url", f"must be like http://127.0.0.1:1610, not {shown}")
    if "@" in parts.netloc:
        raise InvalidRequest("url", "must not hold a name or password; the token is given apart from it")
    if parts.query or parts.fragment:
        raise InvalidRequest("url", f"must end with the path, not {url!r}")
    return url.rstrip("/")


def _split(url: str) -> SplitResult | None:
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port > 0 else None
    except ValueError:
        return None


def _token(token: str | None) -> str | None:
    """A token that fits into a header. It is a secret: the error does not show it."""
    if token is None:
        return None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequest("token", "must be printable ASCII text without spaces")
    return token
