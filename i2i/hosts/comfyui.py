"""Nodes of ComfyUI: load a model, translate pictures with i2i's own tiling, make pictures from seeds.

ComfyUI calls them by its contract (https://docs.comfy.org/custom-nodes/backend/server_overview): INPUT_TYPES says what
a node takes, FUNCTION names the method, which returns a tuple. A picture is (N, H, W, C) float32 from 0 to 1, a mask
(N, H, W). Nothing here imports ComfyUI: its modules are used if it has loaded them, so a test can call the nodes alone.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from i2i.errors import UsageError, speaks_python
from i2i.hosts.floats import to_floats, translate_floats
from i2i.images import Array, to_channels
from i2i.models.modelfile import find_model
from i2i.models.shipped import shipped_names
from i2i.runtime import load
from i2i.runtime.backends import DEVICES
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "i2i"
"""Of models, inside ComfyUI's folder `models`."""
MODEL = "I2I_MODEL"
"""The type of the wire between the nodes."""
_SUFFIXES = (".safetensors", ".onnx", ".pth")
_LABELS = {"default": "", "tooltip": "Classes by name, with commas, of a model that was trained with labels."}
Inputs = dict[str, dict[str, tuple[Any, ...]]]


class LoadModel:
    """Opens a model file, a run folder, or a model that ships with i2i."""

    CATEGORY, FUNCTION, RETURN_TYPES, RETURN_NAMES = "i2i", "open", (MODEL,), ("model",)
    DESCRIPTION = "Opens a model that i2i trained or imported: a file in models/i2i, a shipped one, or any path."

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Return what the node takes."""
        path = "Instead: a run folder, a model file anywhere, or hf://NAMESPACE/NAME."
        return {
            "required": {"model": ([*_files(), *shipped_names()],)},
            "optional": {
                "path": ("STRING", {"default": "", "tooltip": path}),
                "direction": (["auto", "A2B", "B2A"], {"tooltip": "auto: the only one, or the usual one."}),
                "device": (list(DEVICES), {"tooltip": "Where the network runs."}),
                "labels": ("STRING", _LABELS),
            },
        }

    @classmethod
    def IS_CHANGED(cls, model: str, path: str = "", **others: str) -> str:
        """Return what changes when the file does, so that a model that trained on is opened again."""
        return str(find_model(_place(model, path)).stat().st_mtime_ns)

    @speaks_python
    def open(
        self, model: str, path: str = "", direction: str = "auto", device: str = "auto", labels: str = ""
    ) -> tuple[Translator | ImageGenerator]:
        """Return the model; raises ModelError and UsageError."""
        chosen = None if direction == "auto" else direction
        return (load(_place(model, path), chosen, device, labels=_names(labels)),)


class TranslateImages:
    """Translates a batch of pictures of any size."""

    CATEGORY, FUNCTION, RETURN_TYPES = "i2i", "translate", ("IMAGE",)
    DESCRIPTION = "Pictures through a model, in tiles where memory is short. White in the mask is what a model fills."

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Return what the node takes."""
        return {"required": {"model": (MODEL,), "image": ("IMAGE",)}, "optional": {"mask": ("MASK",)}}

    @speaks_python
    def translate(self, model: Any, image: "Tensor", mask: "Tensor | None" = None) -> "tuple[Tensor]":
        """Return pictures of the same sides, in RGB, or RGBA where the model makes or keeps alpha.

        image: (N, H, W, 3 or 4). mask: (N or 1, H, W), for models that fill holes. Raises UsageError and ModelError.
        """
        if not isinstance(model, Translator):
            raise UsageError("This model makes pictures from noise. Use the node Generate (i2i).")
        pictures = _floats(image, "image", "(N, H, W, C)")
        holes = None if mask is None else _floats(mask, "mask", "(N, H, W)") > 1 / 2
        if holes is not None and holes.shape[1:] != pictures.shape[1:3]:
            sizes = [f"{one.shape[1]}x{one.shape[2]}" for one in (pictures, holes)]
            raise UsageError(f"image is {sizes[0]} (height and width), and mask {sizes[1]}. Give them one size.")
        model.before_tile, made, advance = _stop_if_asked, [], _progress(len(pictures))
        for number, one in enumerate(pictures):
            _stop_if_asked()
            hole = None if holes is None else holes[number % len(holes)]
            made.append(_in_colour(translate_floats(model, one, hole)))
            advance()
        return (_batch(made),)


class GenerateImages:
    """Makes pictures from seeds."""

    CATEGORY, FUNCTION, RETURN_TYPES = "i2i", "generate", ("IMAGE",)
    DESCRIPTION = "Pictures from noise: those that i2i generate makes for the same seeds."
    _NUMBER: ClassVar = {"default": 0, "min": 0, "max": 4096}

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        """Return what the node takes."""
        side = {**cls._NUMBER, "tooltip": "In pixels; 0: as trained. Only models of any size make others."}
        return {
            "required": {
                "model": (MODEL,),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**53 - 1, "control_after_generate": True}),
                "count": ("INT", {**cls._NUMBER, "default": 1, "min": 1, "tooltip": "As many seeds, one by one."}),
            },
            "optional": {
                "labels": ("STRING", _LABELS),
                "text": ("STRING", {"default": "", "tooltip": "What to show, for a model trained with text."}),
                "truncation": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}),
                "width": ("INT", side),
                "height": ("INT", side),
            },
        }

    @speaks_python
    def generate(
        self,
        model: Any,
        seed: int,
        count: int,
        labels: str = "",
        text: str = "",
        truncation: float = 1.0,
        width: int = 0,
        height: int = 0,
    ) -> "tuple[Tensor]":
        """Return the pictures of `count` seeds from `seed` on, (N, H, W, 3 or 4). Raises UsageError and ModelError.

        labels, text: what each shall show. truncation: of models with styles; 1 is the whole variety.
        """
        from i2i.generation import choose

        if not isinstance(model, ImageGenerator):
            raise UsageError("This model translates pictures. Use the node Translate (i2i).")
        if count < 1:
            raise UsageError(f"count is {count}. Make at least one picture.")
        if width or height:
            model = model.of_size((height or model.sides[0], width or model.sides[1]))
        names, texts = _names(labels), [text] if text else []
        seeds = range(seed, seed + count)
        chosen = choose(model, seeds, None, [names] if names else (), texts, truncation if truncation < 1 else None)
        made, advance = [], _progress(count)
        for picture in model.each_picture(chosen.latents):
            _stop_if_asked()
            made.append(_in_colour(to_floats(picture)))
            advance()
        return (_batch(made),)


NODE_CLASS_MAPPINGS = {"I2ILoad": LoadModel, "I2ITranslate": TranslateImages, "I2IGenerate": GenerateImages}
"""What ComfyUI looks for."""
NODE_DISPLAY_NAME_MAPPINGS = {
    "I2ILoad": "Load model (i2i)",
    "I2ITranslate": "Translate (i2i)",
    "I2IGenerate": "Generate (i2i)",
}


def _files() -> list[str]:
    """Return the names of the model files in ComfyUI's folder of them, which is made known to it."""
    paths = sys.modules.get("folder_paths")
    if paths is None:
        return []
    if FOLDER not in paths.folder_names_and_paths:
        paths.add_model_folder_path(FOLDER, str(Path(paths.models_dir) / FOLDER))
    return [name for name in paths.get_filename_list(FOLDER) if name.lower().endswith(_SUFFIXES)]


def _place(model: str, path: str) -> Path:
    """Return the path that was given, or else that of the model that was chosen."""
    if path.strip():
        return Path(path.strip())
    return Path(sys.modules["folder_paths"].get_full_path(FOLDER, model) if model in _files() else model)


def _names(labels: str) -> list[str]:
    return [name.strip() for name in labels.split(",") if name.strip()]


def _floats(tensor: "Tensor", name: str, shape: str) -> Array:
    """Return a batch as float32; raises UsageError for an empty one, other axes, and numbers that are no floats."""
    if tensor.dim() != shape.count(",") + 1 or not tensor.numel() or not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UsageError(f"{name} takes {shape} floats from 0 to 1, not empty; got {tuple(tensor.shape)} in {kind}.")
    floats: Array = tensor.detach().float().cpu().numpy()
    return floats


def _in_colour(image: Array) -> Array:
    """Return (H, W, C) as RGB, or as RGBA where it has alpha: what other nodes expect."""
    return to_channels(image, 4 if image.shape[2] in (2, 4) else 3)


def _batch(images: list[Array]) -> "Tensor":
    import torch

    return torch.from_numpy(np.stack(images))


def _stop_if_asked() -> None:
    """Raise ComfyUI's own error if its user pressed Cancel."""
    if management := sys.modules.get("comfy.model_management"):
        management.throw_exception_if_processing_interrupted()


def _progress(total: int) -> Any:
    """Return what moves the bar on the node by one."""
    utils = sys.modules.get("comfy.utils")
    bar = utils.ProgressBar(total) if utils else None
    return lambda: bar.update(1) if bar else None
