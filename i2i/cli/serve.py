"""`i2i serve`."""

import importlib.util
import os
from pathlib import Path

import click

from i2i import status
from i2i.cli import options
from i2i.cli.commands import ModelsCommand
from i2i.errors import UsageError
from i2i.version import DISTRIBUTION


@click.command(
    cls=ModelsCommand,
    short_help="Serve models over HTTP.",
    epilog="""\b
Examples:
  i2i serve lineart
  i2i serve model.onnx runs/faces --port 9000 --workers 2
  I2I_TOKEN=... i2i serve model.onnx --host 0.0.0.0
""",
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File that holds the token which requests must bear; the environment variable I2I_TOKEN does the same.",
)
@click.option("--allow-anonymous", is_flag=True, help="Serve other machines without a token.")
@options.device
@click.option(
    "--workers", type=options.Workers(), default="auto", show_default=True, help="Pictures computed at a time."
)
@click.option(
    "--queue",
    type=click.IntRange(min=0),
    default=32,
    show_default=True,
    help="Requests that may wait; further ones are told to come again (503).",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=60, show_default=True, help="Seconds until a request fails."
)
@click.option(
    "--max-body", type=click.IntRange(min=1), default=64, show_default=True, help="Largest body of a request, in MiB."
)
@click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=40_000_000,
    show_default=True,
    help="Refuse larger pictures before they are decoded.",
)
@click.option(
    "--model-memory",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="What the files of all open models may take, in MiB; the least recently used are closed, and opened again "
    "when asked for.",
)
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    allow_anonymous: bool,
    device: str,
    workers: int | None,
    queue: int,
    timeout: float,
    max_body: int,
    max_pixels: int,
    model_memory: int,
) -> None:
    """Serve models over HTTP: POST a picture to /translate, get a picture. A page at / tries them in the browser.

    MODEL is what -m takes elsewhere. The address comes on stdout, one JSON line for each request on stderr. SIGTERM or
    Ctrl-C ends the server when it has answered what it accepted.
    """
    if missing := [name for name in ("fastapi", "uvicorn", "prometheus_client") if not importlib.util.find_spec(name)]:
        raise UsageError(f"i2i serve needs {' and '.join(missing)}. Run: pip install '{DISTRIBUTION}[serve]'")
    with status.shown(), status.doing("Loading libraries"):
        from i2i.serving.limits import ServeLimits
        from i2i.serving.server import serve as serve_models

    limits = ServeLimits(
        max_body_bytes=max_body * 2**20,
        max_pixels=max_pixels,
        queue=queue,
        timeout_s=timeout,
        model_bytes=model_memory * 2**20,
    )
    serve_models(
        models,
        host=host,
        port=port,
        token=_token(token_file),
        allow_anonymous=allow_anonymous,
        device=device,
        workers=workers,
        limits=limits,
    )


def _token(file: Path | None) -> str | None:
    """Return the token of the file or of the environment, not of the command line, which other users can read."""
    if file is None:
        return os.environ.get("I2I_TOKEN") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}. Give a text file."
        ) from error
