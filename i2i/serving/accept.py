"""The format of an answer, from the header Accept (RFC 9110, section 12.5.1)."""

from collections.abc import Mapping

from i2i.serving.problems import HttpProblem

KINDS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/tiff": ".tif"}
"""Media types that are sent, and the suffix of each. The first is sent where nothing else decides."""


def choose_kind(accept: str, own: str) -> str:
    """Return the one of KINDS that a client likes best; of equals `own`, a suffix, if it is among them.

    Raises HttpProblem if none will do.
    """
    ranges = _ranges(accept)
    likes = {kind: _quality(kind, ranges) for kind in KINDS}
    best = max(KINDS, key=lambda kind: (likes[kind], KINDS[kind] == own))
    if not likes[best]:
        raise HttpProblem(
            406, "not_acceptable", f"Accept: {accept}", ", ".join(KINDS), "Name one of them, or leave Accept out."
        )
    return best


def _ranges(accept: str) -> Mapping[str, float]:
    """Return the quality of each media range, 0 to 1."""
    found = {}
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        name, *parameters = (one.strip().lower() for one in part.split(";"))
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            found[name] = min(max(float(quality), 0.0), 1.0)
        except ValueError:
            found[name] = 0.0
    return found


def _quality(kind: str, ranges: Mapping[str, float]) -> float:
    """Return the quality of the most specific range that holds a media type."""
    return next((ranges[one] for one in (kind, f"{kind.partition('/')[0]}/*", "*/*") if one in ranges), 0.0)
