"""The server itself: where it listens, under which address it is opened, and until when it runs."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Callable

from vesalius.errors import ConfigError
from vesalius.explorer.exploration import Exploration
from vesalius.explorer.guard import LOOPBACK, Guard

__all__ = ["serve"]


def serve(
    exploration: Exploration,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    begun: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until interrupted.

    Args:
        exploration: What is shown.
        host: Where to listen; by default only this machine reaches it.
        port: Likewise; by default any that is free.
        token: The secret in the address; by default a new one. Nobody sees anything without it, on loopback neither:
            other users of a shared machine reach that too.
        begun: Told the whole address as soon as it answers.

    Raises:
        ConfigError: Nothing can listen there, a token of fewer than 16 characters, or FastAPI is not installed.
    """
    try:
        import uvicorn

        from vesalius.explorer.app import make_app
    except ImportError as error:
        raise ConfigError("the explorer needs FastAPI and uvicorn: pip install 'vesalius[explore]'") from error
    if token is not None and (len(token) < 16 or not token.isalnum()):
        raise ConfigError("token: give at least 16 letters and digits, or leave it out for a new one")
    secret = token or secrets.token_hex(16)
    listening = _listen(host, port or 0)
    number = int(listening.getsockname()[1])
    hosts = LOOPBACK if host in LOOPBACK else ()
    guarded = Guard(make_app(exploration), token=secret, port=number, hosts=hosts)
    named = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 (asked for)
    shown = f"[{named}]" if ":" in named else named
    begun(f"http://{shown}:{number}/?token={secret}")
    with listening, contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        uvicorn.Server(uvicorn.Config(guarded, log_level="warning", access_log=False)).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port or 'any'} ({error.strerror or error}); name another --port or --host"
        ) from error
    return listening
