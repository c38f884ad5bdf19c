"""Who may talk to the studio: host names, origins and the token, and the headers that every answer carries."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

COOKIE = "whyact-token"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A report carries its own script and style, and is looked at where nothing else can be reached.
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware around the whole application.

    Args:
        app: What is guarded.
        token: What a caller must show, as ``?token=`` once, a cookie from then on, or ``Authorization: Bearer``;
            empty for none.
        hosts: Further host names that are this machine.
    """

    def __init__(self, app: Any, token: str = "", hosts: Iterable[str] = ()) -> None:
        self.app, self.token = app, token
        self.hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what may not in, hand on the rest, and add the headers."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._known_host(headers.get("host", "")):
            return await _say(send, 400, "This studio is not reached under that name.")
        if scope["method"] not in ("GET", "HEAD") and not _same_origin(headers):
            return await _say(send, 403, "Another site may not send this.")
        if self.token and not self._may(headers):
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            if not secrets.compare_digest(query.pop("token", "").encode(), self.token.encode()):
                return await _say(send, 401, "A token is needed: open the address that `whyact serve` printed.")
            place = scope["path"] + (f"?{urlencode(query)}" if query else "")
            cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            location = place if place.startswith("/") and not place.startswith("//") else "/"
            return await _say(send, 303, "", {"location": location, "set-cookie": cookie})

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                added = {"content-security-policy": _POLICY, **_HEADERS}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in added.items() if n.encode() not in own),
                ]
            await send(message)

        await self.app(scope, receive, with_headers)

    def _known_host(self, host: str) -> bool:
        """Tell whether a Host header names this machine: a rebound name of somebody else's does not."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # a number cannot be rebound

    def _may(self, headers: dict[str, str]) -> bool:
        shown = headers.get("authorization", "").removeprefix("Bearer ").strip()
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        found = [shown.encode(), (cookie.value if cookie else "").encode()]
        return any(secrets.compare_digest(one, self.token.encode()) for one in found)


def _same_origin(headers: dict[str, str]) -> bool:
    """Tell whether a request that changes something comes from our own page, or from no page at all."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


async def _say(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    made = {"content-type": "text/plain; charset=utf-8", "content-security-policy": _POLICY, **_HEADERS}
    made |= headers or {}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in made.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode()})
