"""What every request passes: its id, the token, limits known from its headers, and one line in the log."""

import hmac
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from i2i.serving.limits import ServeLimits
from i2i.serving.metrics import ServerMetrics
from i2i.serving.problems import HttpProblem, problem_of

LOG = logging.getLogger("i2i.serving")
OPEN_PATHS = {"/", "/health", "/docs", "/openapi.json"}
"""What needs no token: they say nothing about the models."""
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_LOOPBACK_HOST = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, limits: ServeLimits, metrics: ServerMetrics, token: str | None, loopback_only: bool
    ):
        """token: what requests must bear. loopback_only: refuse names of other machines in the header Host."""
        self.app, self.limits, self.metrics = app, limits, metrics
        self.token, self.loopback_only = token, loopback_only
        self.open_requests = 0
        metrics.watch("open_requests", lambda: self.open_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.limits)
        self.open_requests += 1
        try:
            self._check(scope, Headers(scope=scope))
            await self.app(scope, exchange.receive, exchange.send)
        except Exception as error:
            await exchange.fail(error)
        finally:
            self.open_requests -= 1
            self._note(scope, exchange)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raise HttpProblem for a request that needs no look at its body."""
        host = headers.get("host", "")
        if self.loopback_only and not _LOOPBACK_HOST.fullmatch(host):
            # A page on the web whose name leads to this machine would otherwise be let in (DNS rebinding).
            raise HttpProblem(
                421, "wrong_host", f"Host: {host}", "localhost, 127.0.0.1 and [::1].", "Use one, or start with a token."
            )
        if self.token is not None and scope["path"] not in OPEN_PATHS and not _bears(headers, self.token):
            received = "A wrong token." if "authorization" in headers else "A request without a token."
            raise HttpProblem(401, "no_token", received, "Authorization: Bearer TOKEN", "Send the server's token.")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self.limits.max_body_bytes:
            raise too_long(f"A body of {int(length):,} bytes.", self.limits)
        if self.open_requests > self.limits.uploads + self.limits.queue and scope["method"] == "POST":
            allowed = f"At most {self.limits.uploads + self.limits.queue} at a time."
            raise HttpProblem(503, "busy", "One request more.", allowed, "Send it again in 2 s.", 2)

    def _note(self, scope: Scope, exchange: "_Exchange") -> None:
        route = getattr(scope.get("route"), "path", "other")  # not the path itself, which anybody can choose
        seconds = time.perf_counter() - exchange.began
        self.metrics.requests.labels(route, _method(scope), str(exchange.status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        client = scope.get("client")
        fields = {
            "request_id": exchange.id,
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"][:200],
            "status": exchange.status,
            "seconds": round(seconds, 4),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            **scope["state"]["said"],
        }
        LOG.info("request", extra={"fields": fields})


class _Exchange:
    """One request and its answer, counted on their way."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: ServeLimits):
        self._scope, self._receive, self._send, self._limits = scope, receive, send, limits
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": self.id, "said": {}}
        self.began = time.perf_counter()
        self.bytes_in = self.bytes_out = 0
        self.status = 499
        """Until there is an answer: the client is gone."""

    async def receive(self) -> Message:
        """Pass a part of the body on; raises HttpProblem when it grows too long."""
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        if self.bytes_in > self._limits.max_body_bytes:
            raise too_long(f"A body of more than {self._limits.max_body_bytes:,} bytes.", self._limits)
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-Id"] = self.id
        self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    async def fail(self, error: Exception) -> None:
        """Answer with an error, unless an answer has begun."""
        problem = problem_of(error, self._limits.max_pixels)
        if problem.status == 500:
            LOG.error("internal error", exc_info=error, extra={"fields": {"request_id": self.id}})
        if self.status == 499:
            await problem_response(problem, self.id)(self._scope, self._receive, self.send)


def problem_response(problem: HttpProblem, request_id: str) -> Response:
    """Return a problem as an answer."""
    body, headers = problem.body(request_id), dict(problem.headers)
    return Response(body, problem.status, headers, "application/json")


def too_long(received: str, limits: ServeLimits) -> HttpProblem:
    """Return the answer to a body over the limit."""
    allowed = f"At most {limits.max_body_bytes:,} bytes."
    return HttpProblem(413, "body_too_large", received, allowed, "Send a smaller file, such as a WebP.")


def _bears(headers: Headers, token: str) -> bool:
    kind, _, given = headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())  # takes the same time always
    return same and kind.lower() == "bearer"


def _method(scope: Scope) -> Any:
    """Return the method, or other for one that somebody made up."""
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"
