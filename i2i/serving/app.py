"""The HTTP interface: which address does what."""

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from i2i.models.spec import GENERATE
from i2i.serving.accept import choose_kind
from i2i.serving.body import receive_picture
from i2i.serving.gate import problem_response
from i2i.serving.jobs import Gone, JobQueue
from i2i.serving.limits import ServeLimits
from i2i.serving.metrics import ServerMetrics
from i2i.serving.pictures import Sent, Studio
from i2i.serving.problems import HttpProblem, problem_of
from i2i.serving.schema import (
    SENDS_PICTURE,
    TAKES_PICTURE,
    GenerateQuery,
    Health,
    ModelList,
    TranslateQuery,
    describe,
)
from i2i.serving.store import Served
from i2i.version import __version__

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob:; connect-src 'self'"


@dataclass
class Service:
    """What the addresses work with."""

    studio: Studio
    jobs: JobQueue
    limits: ServeLimits
    metrics: ServerMetrics
    folder: Path
    """For bodies and pictures on their way; empty while nothing is asked."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing more is accepted."""

    def find(self, name: str | None) -> Served:
        """Return a model by name, by default the first; raises HttpProblem."""
        served = self.studio.store.served
        if name is not None and name not in served:
            allowed = f"Models: {', '.join(served)}."
            raise HttpProblem(404, "no_such_model", f"The model {name[:80]}.", allowed, "Take one of them.")
        return served[name] if name is not None else next(iter(served.values()))


async def _service(request: Request) -> Service:  # not in a thread, as FastAPI runs what is not async
    service: Service = request.app.state.service
    return service


Work = Annotated[Service, Depends(_service)]
router = APIRouter()


@router.get("/health", summary="Whether the server takes requests")
def health(service: Work) -> Health:
    """Answer 200; needs no token."""
    return Health(status="ok", version=__version__, waiting=service.jobs.waiting)


@router.get("/models", summary="What is served")
def models(service: Work) -> ModelList:
    """List the models by the names that addresses take."""
    return describe(service.studio.store)


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
def metrics(service: Work) -> Response:
    """Return requests, durations, the queue and memory in Prometheus' text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post(
    "/translate",
    summary="A picture from a picture, by the first model",
    responses=SENDS_PICTURE,
    openapi_extra=TAKES_PICTURE,
    response_class=Response,
)
async def translate(request: Request, service: Work, query: Annotated[TranslateQuery, Query()]) -> Response:
    """Translate a picture with the first model, as `i2i translate` does. The header Accept chooses the format."""
    return await _translate(request, service, service.find(None), query)


@router.post("/models/{name}/translate", responses=SENDS_PICTURE, openapi_extra=TAKES_PICTURE, response_class=Response)
async def translate_with(
    name: str, request: Request, service: Work, query: Annotated[TranslateQuery, Query()]
) -> Response:
    """Translate a picture with a model of your choice."""
    return await _translate(request, service, service.find(name), query)


@router.post(
    "/models/{name}/generate", summary="A picture from noise", responses=SENDS_PICTURE, response_class=Response
)
async def generate(name: str, request: Request, service: Work, query: Annotated[GenerateQuery, Query()]) -> Response:
    """Make a picture from noise, as `i2i generate --separate` does."""
    model, accept = service.find(name), request.headers.get("accept", "")
    choose_kind(accept, "")
    if GENERATE not in model.parts:
        raise HttpProblem(422, "not_for_this_model", "generate", " and ".join(model.parts), "POST to translate.")
    width, height = map(int, query.size.split("x")) if query.size else (0, 0)
    size = (height, width) if query.size else None
    chosen = (query.seed, _names(query.label), query.text, query.truncation, size, query.quality)
    job = partial(service.studio.generate, name, *chosen)
    return await _answer(request, service, model, partial(job, accept))


async def _translate(request: Request, service: Service, model: Served, query: TranslateQuery) -> Response:
    accept = request.headers.get("accept", "")
    choose_kind(accept, "")  # refused before the body is read, as all that is wrong in the headers
    direction = _direction(model, query.direction)
    source = service.folder / uuid.uuid4().hex
    job = partial(service.studio.translate, model.name, direction, _names(query.label), query.quality, accept, source)
    try:
        await receive_picture(request, source, service.limits, service.stopping)
        return await _answer(request, service, model, job)
    finally:
        with contextlib.suppress(OSError):  # Windows keeps what a thread still reads; the folder goes at the end
            source.unlink()


def _direction(model: Served, asked: str | None) -> str:
    """Return the direction to take; raises HttpProblem."""
    have = [part for part in model.parts if part != GENERATE]
    if asked in have:
        return asked
    if asked is None and (len(have) == 1 or model.spec.usual in have):
        return model.spec.pick(None)
    if not have:
        received, following = "translate", f"POST to /models/{model.name}/generate."
    else:
        received, following = f"direction={asked}" if asked else "No direction.", f"Add ?direction={have[0]}."
    raise HttpProblem(422, "not_for_this_model", received, " or ".join(model.parts), following)


def _names(labels: list[str]) -> list[str]:
    return [name.strip() for label in labels for name in label.split(",") if name.strip()]


async def _answer(
    request: Request, service: Service, model: Served, job: Callable[[threading.Event], Sent]
) -> Response:
    """Run a job in the queue and return its picture."""
    said = request.state.said
    said["model"] = model.name
    try:
        sent, waited_s = await service.jobs.run(job, partial(_hung_up, request))
    except Gone:
        return Response(status_code=499)  # reaches nobody but the log
    stages = {"queue": waited_s, **sent.seconds}
    for stage, seconds in stages.items():
        service.metrics.stages.labels(model.name, stage).observe(seconds)
    said |= {f"{stage}_s": round(seconds, 4) for stage, seconds in stages.items()}
    timing = ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in stages.items())
    headers = {"Server-Timing": timing, "Vary": "Accept", "X-Content-Type-Options": "nosniff"}
    if sent.left_out:
        headers["X-Frames-Left-Out"] = str(sent.left_out)
    return Response(sent.content, headers=headers, media_type=sent.media_type)


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@router.get("/", include_in_schema=False)
def page() -> HTMLResponse:
    """Return the page that tries the models."""
    return _page("page.html")


@router.get("/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """Return the page that shows openapi.json; FastAPI's own loads its script from elsewhere."""
    return _page("docs.html")


def _page(name: str) -> HTMLResponse:
    html = Path(__file__).with_name(name).read_text("utf-8")
    return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


def make_app(service: Service, has_token: bool) -> FastAPI:
    """Return the application, without what `Gate` does."""
    app = FastAPI(
        title="i2i",
        version=__version__,
        summary="Pictures from pictures and from noise.",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if has_token else [],
    )
    app.state.service = service
    app.include_router(router)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_exception_handler(HttpProblem, _refuse)
    app.add_exception_handler(Exception, _refuse)  # Starlette raises it again, and Gate logs it
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    service: Service = request.app.state.service
    return problem_response(_http_problem(request, error, service.limits), request.state.request_id)


def _http_problem(request: Request, error: Exception, limits: ServeLimits) -> HttpProblem:
    """Return the answer to errors of FastAPI, and to ours."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        received = f"{'.'.join(map(str, first['loc']))}: {first['input']!r:.200}"
        return HttpProblem(422, "bad_request", received, f"{first['msg']}.", "See /docs.")
    if not isinstance(error, HTTPException):
        return problem_of(error, limits.max_pixels)
    where = f"{request.method} {request.url.path:.200}"
    if error.status_code == 404:
        return HttpProblem(404, "no_such_address", where, "What /docs lists.", "See /docs.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        return HttpProblem(405, "wrong_method", where, allowed, "Use that method.")
    return HttpProblem(error.status_code, "bad_request", f"{where}: {error.detail}", "What /docs says.", "See /docs.")
