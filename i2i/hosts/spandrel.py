"""Models of i2i, and weights of its relatives, as image models of spandrel (https://github.com/chaiNNer-org/spandrel).

`load` opens any model file. spandrel's own loader hands on tensors alone, without the header of a file: `install` lets
it recognise the generators of pytorch-CycleGAN-and-pix2pix and its relatives, whose tensors say what they are. Either
way pictures go through i2i's Translator, with its padding and tiles.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from i2i.errors import ModelError, UsageError, speaks_python
from i2i.hosts.floats import refuse_values, translate_floats
from i2i.interop.importing import import_state
from i2i.interop.pytorch_cyclegan_pix2pix import recognise
from i2i.models.modelfile import build_generator
from i2i.models.spec import ModelSpec
from i2i.runtime.backends import TorchBackend
from i2i.runtime.holes import fills_holes
from i2i.runtime.translator import Translator
from i2i.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

try:
    import spandrel
except ModuleNotFoundError as error:
    raise UsageError("This needs the library spandrel: pip install 'i2i-toolkit[spandrel]'.") from error

_OURS = ("A2B.", "B2A.")
"""How the tensors of model.safetensors begin."""
_FILE = Path("The state dict")
"""What errors call tensors that come without a file."""


class TranslatingArchitecture(spandrel.Architecture):
    """What spandrel asks whether it knows a state dict, and to load it."""

    def __init__(self) -> None:
        """Take the name under which spandrel lists it."""
        super().__init__(id="i2i", name="i2i", detect=lambda state: _is_known(state))

    def load(self, state_dict: "Mapping[str, Tensor]") -> Any:
        """Return a spandrel.ImageModelDescriptor of the network; raises ModelError.

        Norm statistics are each picture's own, as in `i2i import`.
        """
        if all(name.startswith(_OURS) for name in state_dict):
            raise ModelError(
                "spandrel's loader drops the header of a model file of i2i, which describes its network.\n"
                "Open it with i2i.hosts.spandrel.load(path)."
            )
        one = import_state(state_dict, _FILE)
        spec = ModelSpec(
            i2i_version=__version__,
            algorithm=one.project,
            parts={"A2B": one.spec},
            norm_statistics="image",
            trained_crop_px=0,
            trained_side_px=0,
        )
        network = build_generator(_FILE, spec, "A2B", one.tensors)
        return _described(Translator(spec, TorchBackend(network, "cpu"), "A2B"), one.words.split(", "))


ARCHITECTURE = TranslatingArchitecture()


def install() -> None:
    """Let spandrel.ModelLoader recognise generators of pytorch-CycleGAN-and-pix2pix and its relatives."""
    support = spandrel.ArchSupport.from_architecture(ARCHITECTURE)
    spandrel.MAIN_REGISTRY.add(support, ignore_duplicates=True)


@speaks_python
def load(path: str | Path, direction: str | None = None, labels: Sequence[str] = ()) -> Any:
    """Open a run folder, a .safetensors or .pth file, or a shipped model, as a model of spandrel on the CPU.

    It takes and returns (1, C, H, W) in [0, 1]; move it with `.to("cuda")`. A model that fills holes is a
    spandrel.MaskedImageModelDescriptor, any other a spandrel.ImageModelDescriptor. direction, labels: as `i2i.load`
    takes them. Raises ModelError, and UsageError for .onnx files and models from noise.
    """
    translator = Translator.open(path, direction, "cpu", backend="torch", labels=labels)
    return _described(translator, [translator.spec.algorithm, translator.generator.network])


def _is_known(state: Mapping[str, Any]) -> bool:
    if state and all(name.startswith(_OURS) for name in state):
        return True
    try:
        recognise(state)
    except ModelError:
        return False
    return True


def _described(translator: Translator, tags: list[str]) -> Any:
    """Return a translator that runs in torch as a model of spandrel."""
    assert isinstance(translator.backend, TorchBackend)
    part, masked = translator.generator, fills_holes(translator.spec)
    refuse_values(part)

    def call(network: "nn.Module", image: "Tensor", mask: "Tensor | None" = None) -> "Tensor":
        import torch

        moved = translator.with_backend(TorchBackend(network, str(image.device)))
        hole = None if mask is None else mask[0, 0].cpu().numpy() > 1 / 2
        pixels = image[0].float().permute(1, 2, 0).cpu().numpy()
        made = translate_floats(moved, pixels, hole, alpha=None if part.out_channels == 4 else "drop")
        return torch.from_numpy(np.ascontiguousarray(made.transpose(2, 0, 1))[None]).to(image)

    said: dict[str, Any] = {} if masked else {"scale": 1}
    return (spandrel.MaskedImageModelDescriptor if masked else spandrel.ImageModelDescriptor)(
        translator.backend.network,
        translator.backend.network.state_dict(),
        architecture=ARCHITECTURE,
        purpose="Inpainting" if masked else "Restoration",
        tags=tags,
        supports_half=False,  # i2i computes in float32; a GPU's exported file may use fewer bits
        supports_bfloat16=False,
        input_channels=3 if masked else part.in_channels,
        output_channels=part.out_channels,
        tiling=spandrel.ModelTiling.INTERNAL,
        call_fn=call,
        **said,
    )
