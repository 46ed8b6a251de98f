"""Who may see the page: a token, the own host's name, reading only; and headers that let nothing leave it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",  # images of patients do not stay in a browser's files
}


_ONWARD = (
    b'<!doctype html><title>vesalius explore</title><link rel="icon" href="data:,">'
    b'<meta http-equiv="refresh" content="0; url=/">'
)
"""Goes on to the page from within it: a redirect of an address clicked elsewhere would not carry a strict cookie."""


class Guard:
    """ASGI middleware around the whole application.

    A page of another site in the same browser cannot read from here: it does not know the token, its requests do not
    carry the cookie, and a name of its own that leads to this machine is refused (DNS rebinding). Cookies know no
    ports: another server of this machine that is opened in the same browser is sent the cookie as well.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int, hosts: Sequence[str] = LOOPBACK) -> None:
        """Guard `app`.

        Args:
            app: What is guarded.
            token: The secret in the address that is opened first; a cookie carries it afterwards.
            port: Where it listens; names the cookie, so that several explorers stand side by side.
            hosts: Names that this server may be called by; empty for any, which the token alone guards.
        """
        self._app, self._token, self._hosts = app, token, tuple(hosts)
        self._cookie = f"vesalius_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer, one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._hosts and _host(headers.get("host", "")) not in self._hosts:
            await self._refuse(send, 421, "This explorer answers only to the name it was started with.")
        elif scope["method"] not in ("GET", "HEAD"):
            await self._refuse(send, 405, "This explorer only shows; it takes nothing.")
        elif scope["path"] == "/" and self._is_token(given):
            cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            await self._answer(send, 200, _ONWARD, {"Content-Type": "text/html", "Set-Cookie": cookie})
        elif not self._is_token(self._cookie_of(headers.get("cookie", ""))):
            await self._refuse(send, 403, "Open the whole address that `vesalius explore` printed, with its token.")
        else:
            await self._app(scope, receive, self._with_headers(send))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _cookie_of(self, text: str) -> str:
        for pair in text.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self._cookie:
                return value
        return ""

    @staticmethod
    def _with_headers(send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(key.lower().encode(), value.encode()) for key, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        return sending

    async def _refuse(self, send: Send, status: int, words: str) -> None:
        await self._answer(send, status, f"{words}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})

    async def _answer(self, send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
        sending = self._with_headers(send)
        told = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
        told.append((b"content-length", str(len(body)).encode()))
        await sending({"type": "http.response.start", "status": status, "headers": told})
        await sending({"type": "http.response.body", "body": body})


def _host(header: str) -> str:
    """`localhost:8600` -> `localhost`; `[::1]:8600` -> `::1`."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
