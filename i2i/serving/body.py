"""The body of a request, written to a file as it arrives: a slow client costs no memory."""

import asyncio
from pathlib import Path

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

from i2i.serving.limits import ServeLimits
from i2i.serving.problems import HttpProblem

FIELD = "image"
"""The part of a form that holds the picture."""
_RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
"""The last is what `curl --data-binary` says of any file."""
_PART_BYTES = 2**20


async def receive_picture(request: Request, file: Path, limits: ServeLimits, stopping: asyncio.Event) -> None:
    """Write the picture in a body, plain or in a form, to `file`.

    stopping: set when the server takes nothing more. Raises HttpProblem.
    """
    reading, halting = asyncio.ensure_future(_write(request, file)), asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait({reading, halting}, timeout=limits.body_s, return_when=asyncio.FIRST_COMPLETED)
        if reading in done:
            return reading.result()
    except ClientDisconnect:
        raise HttpProblem(400, "cut_short", "A body cut short.", "A whole picture.", "Send it again.") from None
    finally:
        reading.cancel()
        halting.cancel()
    if halting in done:
        raise stopped()
    received = f"A body that was not whole after {limits.body_s:g} s."
    raise HttpProblem(408, "body_too_slow", received, "Bodies that arrive sooner.", "Send a smaller picture.")


def stopped() -> HttpProblem:
    """Return the answer to what comes while the server stops."""
    return HttpProblem(503, "stopping", "A request to a server that stops.", "None.", "Send it again in 5 s.", 5)


async def _write(request: Request, file: Path) -> None:
    kind = request.headers.get("content-type", _RAW[1]).lower()
    if kind.startswith("multipart/form-data"):
        await _write_part(request, file)
    elif kind.startswith(_RAW):
        with file.open("wb") as out:
            async for chunk in request.stream():
                out.write(chunk)
    else:
        raise _unsupported(f"Content-Type: {kind[:100]}")


async def _write_part(request: Request, file: Path) -> None:
    async with request.form(max_files=1, max_fields=8) as form:
        part = form.get(FIELD)
        if not isinstance(part, UploadFile):
            raise _unsupported(f"A form without a file named {FIELD}.")
        with file.open("wb") as out:
            while chunk := await part.read(_PART_BYTES):
                out.write(chunk)


def _unsupported(received: str) -> HttpProblem:
    allowed = f"A picture as the whole body (image/*), or as the file {FIELD} of a multipart/form-data form."
    return HttpProblem(415, "unsupported_body", received, allowed, f"Send it as curl -F {FIELD}=@photo.png does.")
