"""Trained models in use; nothing here knows how they were trained."""

from collections.abc import Sequence
from pathlib import Path

from i2i.arguments import as_names, as_path
from i2i.errors import speaks_python
from i2i.models.spec import GENERATE, ModelSpec
from i2i.runtime.backends import open_backend, picking
from i2i.runtime.foreign import Values
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.translator import Translator


@speaks_python
def load(
    path: str | Path,
    direction: str | None = None,
    device: str = "auto",
    value_range: tuple[float, float] | None = None,
    output_value_range: tuple[float, float] | None = None,
    labels: Sequence[str] = (),
) -> Translator | ImageGenerator:
    """Open a run folder, a .safetensors, .onnx or .pth file.

    A model that translates becomes a function from picture to picture, one that generates a function from seeds to
    pictures. To get one or the other for certain, use Translator.open or ImageGenerator.open.

    direction: A2B or B2A, needed only when the model holds both, and neither is usual. device: of i2i.runtime.backends.
    value_range: black and white in the floats of an .onnx file of another project, by default -1 and 1;
    output_value_range: the same for its outputs, by default equal. labels: names of classes for a model that translates
    to labels; one that generates takes them at each call. Raises ModelError and UsageError.

        model = i2i.load("model.onnx")
        model("photo.jpg").save("drawing.png")  # what `i2i translate` writes; .array and .image hold the pixels
    """

    def pick(spec: ModelSpec) -> str:
        return GENERATE if spec.task == "generate" and direction is None else picking(direction)(spec)

    path, values = as_path(path, "path"), Values(value_range, output_value_range)
    spec, backend, opened = open_backend(path, pick, device, values=values)
    if opened == GENERATE:
        return ImageGenerator(spec, backend)
    return Translator(spec, backend, opened, model=path).with_labels(as_names(labels))
