"""The graph that an export writes: the network and what surrounds it, in one ONNX file.

Every free axis has a plain name, and everything is in that one file. A proof that fails is traced in the same graph.
"""

import contextlib
import copy
import gc
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.errors import ExportError
from i2i.models.onnxfile import DIGEST_KEY, digest_of
from i2i.models.spec import METADATA_KEY, ModelSpec, Part, spec_to_metadata
from i2i.networks.small_maps import Conv2d

OPSET = 18


class Graph(NamedTuple):
    """What is exported.

    module: the network in its wrapper, in eval mode. network: the network itself, inside it.
    example: an input; no free axis may be 1 in it or become 1 on the way, or it would be fixed at 1.
    axes: names of the free axes, for input and output alike; made: those of the output, where they have others.
    """

    module: nn.Module
    network: nn.Module
    input: str
    example: Tensor
    axes: dict[int, str]
    made: dict[int, str] | None = None


class Tensors(nn.Module):
    """A network in any precision, with float32 tensors in and out; the network casts its inputs itself."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's output, in float32, for (N, C, H, W) in [-1, 1] or latents."""
        output: Tensor = self.network(image).float()
        return output


class Pixels(nn.Module):
    """A network with 8-bit images in and out: normalises, pads, crops and rounds as the runtime does."""

    def __init__(self, tensors: nn.Module, generator: Part):
        super().__init__()
        self.tensors = tensors
        self.multiple, self.least = generator.size_multiple, generator.size_minimum

    def forward(self, image: Tensor) -> Tensor:
        """Translate (N, H, W, C) uint8, with any sides from 1, to the same size."""
        height, width = image.shape[1:3]
        rows, columns = (mirrored(side, self.multiple, self.least) for side in (height, width))
        padded = image.index_select(1, rows).index_select(2, columns).permute(0, 3, 1, 2)
        values = self.tensors(padded.float() * (2 / 255) - 1)[:, :, :height, :width]
        return ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


class Doubling(nn.Module):
    """A transposed convolution 4x4 with stride 2 and padding 1, as a convolution 2x2 and a pixel shuffle.

    The same function (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?"). ONNX
    Runtime is faster with it on a CPU, where only its kernels for convolutions are fast.
    """

    KIND = ((4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1)

    def __init__(self, layer: nn.ConvTranspose2d):
        super().__init__()
        # Pixels s and s + 1 make rows 2s + 1 and 2s + 2, for s from -1: the first and last rows are cut off.
        taps = torch.tensor([[2, 0], [3, 1]])
        weight = layer.weight.detach()[:, :, taps[:, None, :, None], taps[None, :, None, :]]
        self.weight = nn.Parameter(weight.permute(1, 2, 3, 0, 4, 5).reshape(-1, layer.in_channels, 2, 2))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().repeat_interleave(4))

    @classmethod
    def suits(cls, layer: nn.ConvTranspose2d) -> bool:
        """Whether a layer is such a convolution."""
        sizes = (layer.kernel_size, layer.stride, layer.padding, layer.output_padding)
        return (*sizes, layer.dilation, layer.groups) == cls.KIND

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', 2H, 2W)."""
        return F.pixel_shuffle(F.conv2d(input, self.weight, self.bias, padding=1), 2)[:, :, 1:-1, 1:-1]


class Rows(nn.Module):
    """A convolution to a few channels, as one whose kernels are the rows of its own, and the sum of what these make.

    The same function. ONNX Runtime computes 16 output channels on a CPU where three are needed: rows fill them.
    """

    MOST_CHANNELS, LEAST_ROWS = 4, 5

    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        self.rows, columns = layer.kernel_size
        weight = layer.weight.detach().permute(2, 0, 1, 3)
        self.weight = nn.Parameter(weight.reshape(-1, layer.in_channels, 1, columns))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach()[:, None, None])
        self.padding = layer.padding

    @classmethod
    def suits(cls, layer: nn.Conv2d) -> bool:
        """Whether a layer is such a convolution."""
        few = layer.out_channels <= cls.MOST_CHANNELS and layer.kernel_size[0] >= cls.LEAST_ROWS
        plain = (*layer.stride, *layer.dilation, layer.groups, layer.padding_mode) == (1, 1, 1, 1, 1, "zeros")
        return few and plain and isinstance(layer.padding, tuple) and type(layer) in (nn.Conv2d, Conv2d)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        made = F.conv2d(input, self.weight, padding=self.padding)
        count, height = made.shape[1] // self.rows, made.shape[2] - self.rows + 1
        summed = made[:, :count, :height]
        for row in range(1, self.rows):
            summed = summed + made[:, row * count : (row + 1) * count, row : row + height]
        return summed if self.bias is None else summed + self.bias


def mirrored(side: int | torch.SymInt, multiple: int, least: int) -> Tensor:
    """Return which pixel is where on a padded side: i2i.runtime.fit.pad as an index.

    It works on the free axes of an export, so it compares nothing: from `turn` on the places count down again, and
    places beyond the side are its last pixel.
    """
    target = torch.sym_max((side + multiple - 1) // multiple * multiple, least)
    turn: Any = torch.sym_max(side, target // 2 + 1) - 1
    places = torch.arange(target)
    return (turn - (places - turn).abs()).clamp(max=side - 1)


def make_graph(network: nn.Module, spec: ModelSpec) -> Graph:
    """Put a copy of `network` into the wrapper that the spec of the file asks for, in eval mode.

    For fp16 the network itself is cast. The finished graph is not converted: converters of ONNX files do not preserve
    the conversion of pixels on the way in and out.
    """
    ready = copy.deepcopy(network)
    for name, layer in list(ready.named_modules()):
        if isinstance(layer, nn.ConvTranspose2d) and Doubling.suits(layer):
            ready.set_submodule(name, Doubling(layer))
        elif isinstance(layer, nn.Conv2d) and Rows.suits(layer):
            ready.set_submodule(name, Rows(layer))
    if spec.precision == "fp16":
        ready.half()
    module: nn.Module = Tensors(ready)
    if one := spec.latent_generator:
        places = one.places((2 * one.place_px, 3 * one.place_px)) if one.place_px else ()
        free, made = ({2: "rows", 3: "columns"}, {2: "height", 3: "width"}) if places else ({}, {})
        example, batch = torch.zeros(2, one.latent, *places), {0: "batch"}
        return Graph(module.eval(), ready, "latent", example, batch | free, batch | made)
    (generator,) = spec.generators.values()
    height, width = spec.fixed_size or (2 * generator.size_multiple, 2 * generator.size_multiple)
    example, sides = torch.zeros(2, generator.network_channels, height, width), {2: "height", 3: "width"}
    if spec.io == "image":
        module = Pixels(module, generator)
        example, sides = example.permute(0, 2, 3, 1).to(torch.uint8).contiguous(), {1: "height", 2: "width"}
    return Graph(module.eval(), ready, "image", example, {0: "batch"} | ({} if spec.fixed_size else sides))


def write_graph(graph: Graph, path: Path, outputs: tuple[str, ...] = ("output",)) -> None:
    """Export `graph` with its free axes; raises ExportError if torch cannot."""
    with warnings.catch_warnings(), _without_collecting():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        try:
            torch.onnx.export(
                graph.module,
                (graph.example,),
                path,
                input_names=[graph.input],
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                dynamic_shapes=(graph.axes,),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            learning = [name for name, layer in graph.network.named_modules() if layer.training]
            left = f"Still in training mode: {', '.join(learning)}. " if learning else ""
            reason = str(error).splitlines()[-1][:200]
            raise ExportError(
                f"torch cannot write this network as ONNX: {reason}\n{left}No file was written."
            ) from error


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Leave cyclic garbage until afterwards: collecting takes a fifth of an export, which makes millions of objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def describe(path: Path, spec: ModelSpec, axes: Mapping[int, str]) -> None:
    """Add metadata, with a digest, and plain axis names to the file, remove traces of this machine, and check it."""
    import onnx

    model: Any = onnx.load(path)
    # torch notes at every node the source lines it came from, with the folders of this machine.
    for part in (model.graph, *model.functions):
        for noted in (part, *part.node, *part.value_info):
            del noted.metadata_props[:]
    for axis, name in axes.items():
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.checker.check_model(model, full_check=True)
    described = spec_to_metadata(spec)[METADATA_KEY]
    onnx.helper.set_model_props(
        model, {METADATA_KEY: described, DIGEST_KEY: digest_of(model.graph.SerializeToString(), described)}
    )
    onnx.save(model, path)
