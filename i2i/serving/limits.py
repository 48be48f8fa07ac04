"""What one server allows, and how it computes."""

import ipaddress
from dataclasses import dataclass

from i2i.errors import UsageError

LEAST_TOKEN = 16
"""Characters of the shortest token."""


@dataclass(frozen=True)
class ServeLimits:
    """Bounds of a server; docs/serve.md describes them."""

    max_body_bytes: int = 64 * 2**20
    """A longer body is refused as soon as its length is known."""
    max_pixels: int = 40_000_000
    """A larger picture is refused by its header."""
    queue: int = 32
    """Requests that may wait; further ones get 503."""
    timeout_s: float = 60.0
    """From the last byte of a request to the first of its answer."""
    body_s: float = 30.0
    """From the first byte of a request to its last."""
    idle_s: float = 10.0
    """A connection without a request, or whose answer is not read, is closed after this."""
    connections: int = 512
    """Open at a time; further ones are closed."""
    uploads: int = 128
    """Requests in work, in the queue or still arriving at a time, besides `queue`; further ones get 503."""
    model_bytes: int = 4 * 2**30
    """What the files of all open models may take together; the least recently used one is closed."""


def check_binding(host: str, token: str | None, allow_anonymous: bool) -> None:
    """Raise UsageError for a token that is too short, and for an open server that other machines can reach."""
    if token is not None and not (len(token) >= LEAST_TOKEN and token.isascii() and token.isprintable()):
        raise UsageError(
            f"The token has {len(token)} characters; it takes {LEAST_TOKEN} or more, printable and ASCII.\n"
            "Make one: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if token is None and not allow_anonymous and not is_loopback(host):
        raise UsageError(
            f"Other machines can reach {host}, and there is no token: anybody could use this server.\n"
            "Add --token-file FILE, leave out --host, or say --allow-anonymous."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
