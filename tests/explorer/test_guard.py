"""Who may see the page, and what leaves it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vesalius.explorer.guard import Guard

TOKEN = "f" * 32
Answer = tuple[int, dict[str, str], bytes]


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-inside", b"yes")]})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(
    *,
    path: str = "/",
    query: str = "",
    host: str = "127.0.0.1:8600",
    cookie: str = "",
    method: str = "GET",
    **options: Any,
) -> Answer:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    guard = Guard(application, token=TOKEN, port=8600, **options)
    headers = [(b"host", host.encode()), (b"cookie", cookie.encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    asyncio.run(guard(scope, None, send))
    told = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return sent[0]["status"], told, sent[1]["body"]


COOKIE = f"other=1; vesalius_8600={TOKEN}"


def test_with_the_cookie_one_is_inside() -> None:
    status, headers, body = ask(path="/api/about", cookie=COOKIE)
    assert (status, body) == (200, b"inside")
    assert headers["x-inside"] == "yes"


@pytest.mark.parametrize("cookie", ["", "vesalius_8600=", f"vesalius_8601={TOKEN}", f"vesalius_8600={TOKEN}x"])
def test_without_the_token_nothing_is_seen(cookie: str) -> None:
    for path in ("/", "/api/images/0", "/main.js"):
        status, _, body = ask(path=path, cookie=cookie)
        assert status == 403
        assert b"inside" not in body
        assert TOKEN.encode() not in body


def test_the_token_becomes_a_cookie_and_leaves_the_address() -> None:
    status, headers, body = ask(query=f"token={TOKEN}")
    assert status == 200
    assert b'content="0; url=/"' in body  # from within the page: a redirect from elsewhere carries no strict cookie
    assert TOKEN.encode() not in body
    assert headers["set-cookie"] == f"vesalius_8600={TOKEN}; HttpOnly; SameSite=Strict; Path=/"
    assert ask(query="token=wrong")[0] == 403
    assert ask(path="/api/about", query=f"token={TOKEN}")[0] == 403  # in no other address


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8600", "", "192.168.0.7:8600"])
def test_other_names_are_refused(host: str) -> None:
    assert ask(host=host, cookie=COOKIE)[0] == 421


@pytest.mark.parametrize("host", ["localhost:8600", "LOCALHOST", "[::1]:8600", "127.0.0.1"])
def test_names_of_this_machine_are_its_own(host: str) -> None:
    assert ask(host=host, cookie=COOKIE)[0] == 200


def test_bound_elsewhere_any_name_will_do_but_not_without_the_token() -> None:
    assert ask(host="node7:8600", cookie=COOKIE, hosts=())[0] == 200
    assert ask(host="node7:8600", hosts=())[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_takes_nothing(method: str) -> None:
    assert ask(method=method, cookie=COOKIE)[0] == 405


def test_every_answer_forbids_what_leads_out() -> None:
    for answer in (ask(cookie=COOKIE), ask(), ask(query=f"token={TOKEN}")):
        headers = answer[1]
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
