"""A server from its start to its end: socket, models, signals, logs."""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from i2i.errors import UsageError
from i2i.machine import available_bytes
from i2i.runtime.pipeline import MANY, setup_for, setup_on
from i2i.runtime.worker import Room
from i2i.serving.app import Service, make_app
from i2i.serving.gate import LOG, Gate
from i2i.serving.jobs import JobQueue
from i2i.serving.limits import ServeLimits, check_binding, is_loopback
from i2i.serving.metrics import ServerMetrics
from i2i.serving.pictures import Studio
from i2i.serving.problems import HttpProblem
from i2i.serving.store import ModelStore


def serve(models: Sequence[str], **options: Any) -> None:
    """Serve models until SIGTERM or SIGINT, then finish what was accepted; prints the address on stdout.

    options: of `open_server`. Raises UsageError and ModelError.
    """
    with open_server(models, **options) as server, _logging():
        print(server.url, flush=True)
        server.serve_models()


@contextlib.contextmanager
def open_server(
    models: Sequence[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allow_anonymous: bool = False,
    device: str = "auto",
    workers: int | None = None,
    limits: ServeLimits | None = None,
) -> Iterator["PatientServer"]:
    """Yield a server that has opened its models and listens, but answers only in `serve_models`.

    port: 0 takes a free one. token: what requests must bear. workers: pictures at a time; None: as many as
    `i2i translate` takes. Raises UsageError and ModelError.
    """
    limits = limits or ServeLimits()
    check_binding(host, token, allow_anonymous)
    with _bound(host, port) as sock, tempfile.TemporaryDirectory(prefix="i2i-serve-") as folder:
        store = ModelStore(models, device, setup_for(MANY, workers).threads, limits.model_bytes)
        count = setup_on(store.newest().backend.device, MANY, workers).workers
        jobs = JobQueue(count, limits.queue, limits.timeout_s)
        studio = Studio(store, Room((available_bytes() or 2**33) // 2), limits.max_pixels)
        service = Service(studio, jobs, limits, ServerMetrics(), Path(folder))
        _watch(service)
        app = make_app(service, token is not None)
        gate = Gate(app, limits, service.metrics, token, loopback_only=token is None and is_loopback(host))
        try:
            yield PatientServer(_config(gate, limits), service, sock)
        finally:
            jobs.close()


def _watch(service: Service) -> None:
    """Connect the gauges."""
    jobs, store, metrics = service.jobs, service.studio.store, service.metrics
    metrics.watch("waiting_jobs", lambda: jobs.waiting)
    metrics.watch("running_jobs", lambda: min(jobs.inside, jobs.workers))
    metrics.watch("model_bytes", store.open_bytes)
    store.on_change = lambda what: metrics.models.labels(what).inc()


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens; raises UsageError."""
    address = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.create_server((address, port), family=family, backlog=1024)
    except OSError as error:
        raise UsageError(
            f"{host}:{port} cannot be listened at: {error.strerror or error}.\n"
            "Give another --port (0 takes a free one), or another --host."
        ) from error
    with sock:
        yield sock


def _config(app: Any, limits: ServeLimits) -> uvicorn.Config:
    protocol = type("LimitedProtocol", (PatientProtocol,), {"limits": limits})
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=round(limits.idle_s),
        timeout_graceful_shutdown=round(limits.timeout_s + limits.idle_s),
    )


class PatientServer(uvicorn.Server):
    """A server that ends in peace: what it accepted is answered, bodies that still arrive are refused, exit code 0."""

    def __init__(self, config: uvicorn.Config, service: Service, sock: socket.socket):
        super().__init__(config)
        self.service, self.sock = service, sock
        self._loop: asyncio.AbstractEventLoop | None = None
        host, port = sock.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def serve_models(self) -> None:
        """Answer until `stop` or a signal."""
        store, jobs = self.service.studio.store, self.service.jobs
        device = store.newest().backend.device
        facts = {"url": self.url, "models": list(store.served), "device": device, "workers": jobs.workers}
        LOG.info("listening", extra={"fields": facts})
        self.run(sockets=[self.sock])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after what was accepted; at the second Ctrl-C, at once."""
        super().handle_exit(sig, frame)
        self.stop()

    def stop(self) -> None:
        """The same, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.service.stopping.set)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals meanwhile; uvicorn's own raises them once more at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with bounds that uvicorn lacks: on open connections, and on silence before a request and after one."""

    limits = ServeLimits()
    _timer: asyncio.TimerHandle | None = None
    _unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the client to read the answer, and for the next request."""
        super().on_response_complete()
        self._unsent = sys.maxsize
        self._wait()

    def send_400_response(self, msg: str) -> None:
        """Answer to what is not HTTP as to everything else."""
        problem = HttpProblem(400, "not_http", "Bytes that are no HTTP/1.1 request.", "HTTP/1.1.", "See GET /docs.")
        body = problem.body(uuid.uuid4().hex)
        head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.limits.idle_s, self._give_up)

    def _give_up(self) -> None:
        """Close a connection that asks for nothing and reads nothing."""
        if self.cycle is not None and not self.cycle.response_complete:
            return  # a request in work has its own bounds
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._unsent = unsent  # it reads slowly
            self._wait()
        else:
            self.transport.abort()


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{at}.{record.msecs:03.0f}Z", "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Let this server and uvicorn log to stderr, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    loggers = [LOG, logging.getLogger("uvicorn")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
