"""Using trained models; nothing here knows how they were trained."""

from pathlib import Path

from i2i.runtime.translator import Translator


def load(path: str | Path, direction: str | None = None, device: str = "auto") -> Translator:
    """Open a run folder, a .safetensors or an .onnx file as a function from picture to picture.

    direction: A2B or B2A, needed only when the model holds both. device: auto, cpu, cuda or mps.
    Raises ModelError and UsageError.

        model = i2i.load("model.onnx")
        model("photo.jpg").save("drawing.png")
    """
    return Translator.open(path, direction, device)
