"""The models of a page: what its script must know of each, and the pictures by which it proves itself there."""

from base64 import b64encode
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from i2i.errors import UsageError
from i2i.images import Array
from i2i.models.spec import GENERATE, LatentBlock, ModelSpec, Part
from i2i.models.texts import hash_text
from i2i.runtime.backends import OnnxBackend
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.plan import rounded_tile
from i2i.runtime.tiles import uses_own_statistics

_TILE_PX = 512
_SIDE_PX = 256
"""Side of drawings for models that do not state the scale of their training."""
_CHECK_SIDES = (48, 80)
_CHECK_SEEDS = 2
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
"""Of pictures that every browser shows."""


class PageModel(NamedTuple):
    """A model of the page: its ONNX file, its description, and what it makes of the page's own input.

    before and after: (H, W, C) uint8 each; of a model that makes pictures from noise, the latents (N, latent) float32
    of the seeds 0 to N - 1, and their pictures (N, H, W, C) uint8.
    """

    onnx: bytes
    spec: ModelSpec
    before: Array
    after: Array


def refuse_invisible(spec: ModelSpec) -> None:
    """Raise UsageError for a model of what a browser cannot show."""
    part = spec.latent_generator
    if part is not None and (part.out_bands or part.out_meaning == "points"):
        what = "bands" if part.out_bands else "points"
        raise UsageError(f"This model makes {what}, and a page shows pictures. Use `i2i generate`.")
    if any(one.recurrent for one in spec.generators.values()):
        raise UsageError("A page takes pictures one by one, and this model takes frames in order. Use -o.")
    if any(one.in_bands or one.out_bands for one in spec.generators.values()):
        raise UsageError("A page shows pictures, and this model has bands, which browsers cannot show. Use --io image.")


def read_examples(folder: str | Path, spec: ModelSpec, direction: str | None) -> dict[str, list[dict[str, str]]]:
    """Return the pictures that a page offers to try, by direction, each with its name and data address.

    folder: as ExportOptions has it. direction: A2B, B2A, both, or the only one. Raises UsageError for a model from
    noise, and for a folder without such pictures.
    """
    if spec.task == "generate":
        raise UsageError("This model makes pictures from noise: there is nothing to try it on. Leave out --examples.")
    found = {}
    for part in spec.generators if direction == "both" else [spec.pick(direction)]:
        own = Path(folder) / part
        files = sorted(one for one in (own if own.is_dir() else Path(folder)).iterdir() if one.suffix.lower() in _TYPES)
        if not files:
            raise UsageError(f"{folder} holds no PNG, JPEG or WebP for the page. Give a folder of such pictures.")
        found[part] = [{"name": one.name, "data": _address(one)} for one in files]
    return found


def _address(file: Path) -> str:
    return f"data:{_TYPES[file.suffix.lower()]};base64,{b64encode(file.read_bytes()).decode()}"


def try_model(path: Path, spec: ModelSpec) -> PageModel:
    """Run an exported file on the page's own input: of the same seed ever."""
    backend = OnnxBackend(path, "cpu")
    if spec.task == "generate":
        generator = ImageGenerator(spec, backend)
        before = generator.draw(range(_CHECK_SEEDS))
        return PageModel(path.read_bytes(), spec, before, np.stack(generator.pictures(before)))
    (part,) = spec.generators.values()
    picture = _own_picture(part.in_channels)
    (after,) = backend.run(picture[None])
    return PageModel(path.read_bytes(), spec, picture, np.ascontiguousarray(after))


def _own_picture(channels: int) -> Array:
    """Return gradients, flat parts and noise, (H, W, C) uint8."""
    height, width = _CHECK_SIDES
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack([255 * rows / height, 255 * columns / width, 127 + 127 * np.sin((rows + columns) / 6)], 2)
    picture = np.resize(ramp.transpose(2, 0, 1), (channels, height, width)).transpose(1, 2, 0)
    picture[:, : width // 4] = random.integers(0, 256, (height, width // 4, channels))
    picture[: height // 4] = 255
    return np.ascontiguousarray(picture.astype(np.uint8))


def describe(name: str, one: PageModel) -> dict[str, Any]:
    """Return what the script must know of the model of a part `name`."""
    part = one.spec.parts[name]
    return _of_noise(part, len(one.before)) if name == GENERATE else _of_direction(name, part, one)


def _of_direction(direction: str, part: Part, one: PageModel) -> dict[str, Any]:
    return {
        "title": " to ".join(direction.split("2")),
        "inputs": part.in_channels,
        "outputs": part.out_channels,
        "multiple": part.size_multiple,
        "tile": rounded_tile(part, _TILE_PX),
        "seamless": not uses_own_statistics(one.spec, part),
        "side": one.spec.trained_side_px or _SIDE_PX,
        "check": one.before.shape[:2],
    }


def _of_noise(part: Part, checked: int) -> dict[str, Any]:
    places = part.places((part.out_px, part.out_px)) if part.place_px else None
    blocks = part.at(*places).blocks if places else part.blocks
    return {
        "side": part.out_px,
        "channels": part.out_channels,
        "places": places,
        "blocks": [of_block(block) for block in blocks],
        "checked": checked,
    }


def of_block(block: LatentBlock) -> dict[str, Any]:
    """Return what the script must know of a block of latents."""
    shares = np.asarray(block.shares or [1 / block.size] * block.size, np.float64)
    sums = (shares / shares.sum()).cumsum()  # as Generator.choice adds them up
    return {
        "name": block.name,
        "size": block.size,
        "prior": block.prior,
        "value": block.value,
        "eachPlace": block.each_place,
        "classes": block.classes,
        "sums": (sums / sums[-1]).tolist() if block.prior == "one_hot" else [],
        "texts": block.texts,
        "vectors": [hash_text(text, block.size).tolist() for text in block.texts],
    }
