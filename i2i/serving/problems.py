"""Every answer that is no picture and no list: one JSON object that says what came, what is allowed, what to do."""

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from i2i.errors import DiskFullError, I2IError, ImageError, OutOfMemoryError, printable
from i2i.images.explained import PILLOW_KINDS


class ErrorDetail(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """A fixed word for programs, such as body_too_large."""
    received: str
    """What came."""
    allowed: str
    """What would have been accepted."""
    next_step: str
    """What to do now."""
    request_id: str
    """The request in the server's log; also in the header X-Request-Id."""


class ErrorBody(BaseModel):
    """The body of every answer from 400 on."""

    error: ErrorDetail


class HttpProblem(I2IError):
    """A refusal with its HTTP status. retry_after_s: when the same request may be accepted."""

    def __init__(
        self, status: int, code: str, received: str, allowed: str, next_step: str, retry_after_s: int | None = None
    ):
        super().__init__(f"{received} {allowed} {next_step}")
        self.status, self.code, self.retry_after_s = status, code, retry_after_s
        self.received, self.allowed, self.next_step = received, allowed, next_step

    def body(self, request_id: str) -> bytes:
        """Return the JSON."""
        said = {name: printable(getattr(self, name)) for name in ("code", "received", "allowed", "next_step")}
        return json.dumps({"error": {**said, "request_id": request_id}}).encode()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that belong to the status."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        if self.status == 408:
            return {"Connection": "close"}  # the rest of the body may still come
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


def problem_of(error: BaseException, max_pixels: int, path: str = "") -> HttpProblem:
    """Return the answer to an error of the runtime; those that are our own mistakes come out as 500.

    path: of the file here that holds the picture, which concerns nobody elsewhere.
    """
    if isinstance(error, HttpProblem):
        return error
    said = str(error).replace(path, "The picture") if path else str(error)
    if isinstance(error, OutOfMemoryError | MemoryError):
        allowed = "A picture that fits into the memory that is free now."
        return HttpProblem(
            503, "out_of_memory", said or "Out of memory.", allowed, "Send a smaller picture, or try again later.", 5
        )
    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and not isinstance(error, I2IError)):
        return HttpProblem(503, "no_space", said, "A disk with room for one picture.", "Try again later.", 30)
    if isinstance(error, ImageError):
        allowed = f"A whole picture ({', '.join(PILLOW_KINDS)} or NPY) of at most {max_pixels:,} pixels."
        return HttpProblem(422, "bad_picture", said, allowed, "Send another picture.")
    if isinstance(error, I2IError):
        allowed = "What the model can do; GET /models lists it."
        return HttpProblem(422, "not_for_this_model", said, allowed, "Change the request, or take another model.")
    return HttpProblem(
        500,
        "internal",
        "A request that this server failed at.",
        "It should have been answered: this is a fault of i2i.",
        "Report it with the lines of the server's log that have this request_id.",
    )
