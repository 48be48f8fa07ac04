"""Download one file over HTTP, whole or not at all, and resume an interrupted download.

FILE.part holds the bytes so far, FILE.part.json what the server reported about the file. A download resumes only if
the server confirms that the file is unchanged.
"""

import contextlib
import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from i2i.errors import DownloadError, UsageError
from i2i.files import show_size, write_json
from i2i.version import __version__

MAX_BYTES = 20 * 10**9
TRIES = 4
PAUSE_S = 1.0  # before the second try; n times as long after try n
TIMEOUT_S = 30.0  # without a byte received

_CHUNK = 1 << 18
_LINE_EVERY_S = 10.0


class _Cut(Exception):
    """The connection broke or the server was busy; another try may help."""


class _Known(NamedTuple):
    """What the server reported: `stamp` is the ETag or date of the file, `length` its bytes; None if it did not."""

    url: str
    stamp: str | None
    length: int | None


def check_url(url: str) -> None:
    """Raise UsageError unless `url` is an http or https address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"Cannot fetch {url}: only http:// and https:// addresses are allowed.")


def download(url: str, path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Download `url` into the new file `path`; after a broken connection, try again from where it broke.

    Raises DownloadError if the server has no such file, if the file is larger than `max_bytes`, if the server redirects
    to something other than http or https, or if the connection broke `TRIES` times. The bytes so far are then kept for
    the next call. Raises UsageError for an address that is not http or https, before any request.
    """
    check_url(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    for number in range(1, TRIES + 1):
        try:
            _fetch(url, part, max_bytes)
            break
        except _Cut as error:
            have = part.stat().st_size if part.exists() else 0
            if number == TRIES:
                kept = f"{part} keeps {show_size(have)}; the same command goes on from there."
                raise DownloadError(
                    f"{url}: {error}, in the last of {TRIES} tries.\n{kept if have else 'Try again later.'}"
                ) from error
            print(f"{path.name}: {error}; trying again from {show_size(have)}.", file=sys.stderr)
            time.sleep(PAUSE_S * number)
    part.replace(path)
    _note(part).unlink(missing_ok=True)


def _fetch(url: str, part: Path, max_bytes: int) -> None:
    """Download the rest of `part`; raises _Cut if it stays incomplete."""
    have, known = _kept(url, part)
    if have and have == known.length:
        return
    with _open(url, part, have, known) as response:
        if response.status == http.client.PARTIAL_CONTENT:
            if not _continues(response.headers, have, known):
                _discard(part)
                raise _Cut("the server resumed with another file")
            length, mode = known.length, "ab"
        else:  # the server has no ranges, or the file has changed
            have, length, mode = 0, _length(response.headers), "wb"
        if length is not None and length > max_bytes:
            raise DownloadError(_too_large(url, show_size(length), max_bytes))
        with part.open(mode) as file:
            if mode == "wb":
                write_json(_note(part), _Known(url, _stamp(response.headers), length)._asdict())
            have = _copy(response, file, have, length, max_bytes, part)
    if have > max_bytes:
        _discard(part)
        raise DownloadError(_too_large(url, "more", max_bytes))
    if length is not None and have != length:
        raise _Cut(f"the connection was cut after {show_size(have)} of {show_size(length)}")


@contextlib.contextmanager
def _open(url: str, part: Path, have: int, known: _Known) -> Iterator[http.client.HTTPResponse]:
    request = urllib.request.Request(url, headers={"User-Agent": f"i2i/{__version__}"})
    if have and known.stamp:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", known.stamp)
    try:
        response = _opener().open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            _discard(part)
            raise _Cut("the file on the server has become shorter") from error
        if error.code == http.client.TOO_MANY_REQUESTS or error.code >= 500:
            raise _Cut(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}. Check the address.") from error
    except (http.client.HTTPException, OSError) as error:
        raise _Cut(f"no connection ({getattr(error, 'reason', error)})") from error
    except ValueError as error:  # InvalidURL, for example
        raise UsageError(f"{url} is not a valid address: {error}.") from error
    with response:
        yield response


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], have: int, length: int | None, max_bytes: int, part: Path
) -> int:
    """Append the response to `file`, at most a chunk beyond `max_bytes`; return the size of `file`."""
    with _TransferLine(part.stem, have, length) as line:
        while have <= max_bytes:
            try:
                piece = response.read(_CHUNK)
            except (http.client.HTTPException, OSError) as error:
                raise _Cut(f"the connection broke ({str(error) or type(error).__name__})") from error
            if not piece:
                break
            file.write(piece)
            have += len(piece)
            line.show(have)
    return have


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follow redirects, except to local files and other protocols."""

    def http_error_302(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any) -> Any:
        target = urllib.parse.urljoin(req.full_url, headers.get("Location", headers.get("URI", "")))
        if urlsplit(target).scheme not in ("http", "https"):
            raise DownloadError(f"{req.full_url}: the server redirects to {target!a}; i2i follows only http and https.")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _TransferLine(contextlib.AbstractContextManager["_TransferLine"]):
    """Progress: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, name: str, have: int, length: int | None):
        self.name, self.length = name, length
        console = Console(stderr=True)
        self.quiet = not console.is_terminal
        columns = (BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self.bar = Progress(TextColumn("{task.description}"), *columns, console=console, disable=self.quiet)
        self.task = self.bar.add_task(name, total=length, completed=have)
        self.next_line_s = time.monotonic() + _LINE_EVERY_S

    def __enter__(self) -> "_TransferLine":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, have: int) -> None:
        """Show how many bytes there are."""
        self.bar.update(self.task, completed=have)
        if self.quiet and time.monotonic() >= self.next_line_s:
            whole = f" of {show_size(self.length)}" if self.length else ""
            print(f"{self.name}: {show_size(have)}{whole}", file=sys.stderr, flush=True)
            self.next_line_s = time.monotonic() + _LINE_EVERY_S


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener without urllib's default handlers for file:, ftp: and data: addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _WebOnly(),
    ):
        opener.add_handler(handler)
    return opener


def _kept(url: str, part: Path) -> tuple[int, _Known]:
    """Return the number of bytes to resume from, 0 if there are none, and what is known of the file."""
    nothing = 0, _Known(url, None, None)
    try:
        known = _Known(**json.loads(_note(part).read_text(encoding="utf-8")))
        have = part.stat().st_size
    except (OSError, ValueError, TypeError):
        return nothing
    return (have, known) if known.url == url and known.stamp else nothing


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _continues(headers: Message, have: int, known: _Known) -> bool:
    """Whether a partial response starts where the kept bytes end, in a file of the same length."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    return bool(match and int(match[1]) == have and match[2] in ("*", str(known.length)))


def _stamp(headers: Message) -> str | None:
    """Return a value for If-Range, which takes no weak ETag."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _too_large(url: str, size: str, max_bytes: int) -> str:
    return f"{url} is {size}, but the limit is {show_size(max_bytes)}. Raise the limit with --max-gb."
