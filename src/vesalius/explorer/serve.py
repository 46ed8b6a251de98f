"""The server itself: where it listens, under which address it is opened, and until when it runs."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from vesalius.errors import ConfigError
from vesalius.explorer.exploration import Exploration
from vesalius.explorer.guard import LOOPBACK, Guard

__all__ = ["Door", "open_door", "serve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where a server will answer, taken before anything is computed.

    Attributes:
        listening: The socket.
        address: Whole, with the token.
        port: Where it listens.
        token: The secret in the address.
        hosts: Names that it may be called by; empty for any.
    """

    listening: socket.socket
    address: str
    port: int
    token: str
    hosts: tuple[str, ...]


def open_door(*, host: str = "127.0.0.1", port: int | None = None, token: str | None = None) -> Door:
    """Find all that can fail at once: packages, the token, the port.

    Args:
        host: Where to listen; by default only this machine reaches it.
        port: Likewise; by default any that is free.
        token: The secret in the address; by default a new one. Nobody sees anything without it, on loopback neither:
            other users of a shared machine reach that too.

    Raises:
        ConfigError: Nothing can listen there, a token of fewer than 16 characters, or FastAPI is not installed.
    """
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ConfigError("the explorer needs FastAPI and uvicorn: pip install 'vesalius[explore]'")
    if token is not None and (len(token) < 16 or not token.isalnum()):
        raise ConfigError("token: give at least 16 letters and digits, or leave it out for a new one")
    secret = token or secrets.token_hex(16)
    listening = _listen(host, port or 0)
    number = int(listening.getsockname()[1])
    named = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 (asked for)
    shown = f"[{named}]" if ":" in named else named
    return Door(
        listening=listening,
        address=f"http://{shown}:{number}/?token={secret}",
        port=number,
        token=secret,
        hosts=LOOPBACK if host in LOOPBACK else (),
    )


def serve(exploration: Exploration, door: Door, *, begun: Callable[[str], None] = lambda _: None) -> None:
    """Serve until interrupted.

    Args:
        exploration: What is shown.
        door: Where.
        begun: Told the whole address as soon as it answers.
    """
    import uvicorn

    from vesalius.explorer.app import make_app

    guarded = Guard(make_app(exploration), token=door.token, port=door.port, hosts=door.hosts)
    begun(door.address)
    with door.listening, contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
        uvicorn.Server(uvicorn.Config(guarded, log_level="warning", access_log=False)).run(sockets=[door.listening])


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
