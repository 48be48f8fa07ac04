"""i2i: image-to-image translation, from a folder of pictures to one ONNX file.

The names below are the public API. They are loaded when first used, so `import i2i` is quick and
translating with an .onnx file never imports torch.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.api.evaluating import evaluate
    from i2i.api.exporting import export, export_onnx
    from i2i.api.results import Evaluated, Exported, Trained
    from i2i.api.training import train
    from i2i.api.using import generate, translate, translate_files
    from i2i.config import load_config
    from i2i.config.plugins import load_plugin
    from i2i.config.settings import Config
    from i2i.errors import I2IError
    from i2i.models.spec import ModelSpec
    from i2i.runtime import load
    from i2i.runtime.generator import ImageGenerator
    from i2i.runtime.translated import Translated
    from i2i.runtime.translator import Translator
    from i2i.training.callbacks import Callback

from i2i.version import __version__

if "OMP_WAIT_POLICY" not in os.environ:
    # Read when torch is loaded. Threads that spin for milliseconds while they wait, as by default, stand nearly still
    # beside other busy programs; those that never spin lose a sixth on a quiet machine. See i2i.training.waiting.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

_HOME = {
    "Callback": "i2i.training.callbacks",
    "Config": "i2i.config.settings",
    "Evaluated": "i2i.api.results",
    "Exported": "i2i.api.results",
    "I2IError": "i2i.errors",
    "ImageGenerator": "i2i.runtime.generator",
    "ModelSpec": "i2i.models.spec",
    "Trained": "i2i.api.results",
    "Translated": "i2i.runtime.translated",
    "Translator": "i2i.runtime.translator",
    "evaluate": "i2i.api.evaluating",
    "export": "i2i.api.exporting",
    "export_onnx": "i2i.api.exporting",
    "generate": "i2i.api.using",
    "load": "i2i.runtime",
    "load_config": "i2i.config",
    "load_plugin": "i2i.config.plugins",
    "train": "i2i.api.training",
    "translate": "i2i.api.using",
    "translate_files": "i2i.api.using",
}

__all__ = [
    "Callback",
    "Config",
    "Evaluated",
    "Exported",
    "I2IError",
    "ImageGenerator",
    "ModelSpec",
    "Trained",
    "Translated",
    "Translator",
    "__version__",
    "evaluate",
    "export",
    "export_onnx",
    "generate",
    "load",
    "load_config",
    "load_plugin",
    "train",
    "translate",
    "translate_files",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
