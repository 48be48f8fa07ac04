"""Writes exported files, each proved before it takes its place."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2i import status
from i2i.errors import UsageError
from i2i.exporting.graph import describe, make_graph, write_graph
from i2i.exporting.int8 import CALIBRATION, quantise, quantise_weights
from i2i.exporting.options import ExportOptions
from i2i.exporting.pictures import PROOF_PICTURES, Named, proof_batches, proof_pictures, sampled
from i2i.exporting.proof import ProofBatch, Reference, finite, open_on_cpu, prove
from i2i.exporting.selftest import sample, self_test_input
from i2i.files import atomic_write
from i2i.images import Array, from_unit, to_unit
from i2i.models.modelfile import read_spec
from i2i.models.spec import GENERATE, LatentBlock, ModelSpec, Origin, Part
from i2i.runtime.backends import TorchBackend
from i2i.runtime.fit import pad
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.plan import padded_sides
from i2i.runtime.translator import Translator
from i2i.words import show_count

PROOF_SEEDS = 5
_QUANTISED = {"int8": quantise, "int8_weights": quantise_weights}


def write_files(
    source: Path, outputs: Mapping[Path, str | None], options: ExportOptions, origin: Origin
) -> dict[Path, ModelSpec]:
    """Write the file of each direction or, if one of them fails, none; return the specs, with the proofs in them.

    source: a .safetensors file. outputs: a direction for each file. Raises as i2i.exporting.export_model does.
    """
    with status.doing("Opening the model and the pictures to prove it on"):
        references = {output: reference_of(source, direction, options) for output, direction in outputs.items()}
    specs = {}
    with contextlib.ExitStack() as files:
        for output, reference in references.items():
            temp = files.enter_context(atomic_write(output))
            with status.doing(f"Exporting {output.name}"):
                graph = make_graph(reference.network, reference.spec)
                write_graph(graph, temp)
            with status.doing(f"Comparing {output.name} with torch on {show_count(reference.pictures, 'picture')}"):
                proof = prove(temp, graph, reference)
            given = self_test_input(reference.spec)
            changes: dict[str, Any] = {"proof": proof, "origin": origin}
            if quantised := _QUANTISED.get(options.precision):
                with status.doing(f"Quantising {output.name}"):
                    lost = quantised(temp, reference.spec, reference.samples)
                changes |= {"precision": options.precision, "int8": lost}
                (answers,) = open_on_cpu(temp).run(["output"], {graph.input: given})
            else:
                answers = reference.answer(given)
            changes["self_test"] = sample(answers)
            specs[output] = reference.spec.model_copy(update=changes)
            describe(temp, specs[output], graph.made or graph.axes)
    return specs


def reference_of(
    source: Path, direction: str | None, options: ExportOptions, pictures: Named | None = None
) -> Reference:
    """Return what a file with `options` must equal. pictures: in place of those of the run or of `options.verify`.

    Raises UsageError.
    """
    if read_spec(source).task == "translate":
        return _of_translator(source, direction, options, pictures)
    if direction is not None or options.verify is not None:
        raise UsageError(
            "This model makes pictures from noise: it has no direction, and noise proves its export.\n"
            "Leave out --direction and --verify."
        )
    if options.io == "image" or options.size:
        raise UsageError(
            "This model takes no pictures, and its file makes every size that the model makes.\n"
            "Leave out --io image and --size."
        )
    if options.labels:
        raise UsageError("This model makes pictures from noise, and its file takes labels itself. Leave out --label.")
    return _of_generator(source, options)


def _of_translator(source: Path, direction: str | None, options: ExportOptions, pictures: Named | None) -> Reference:
    translator = Translator.open(source, direction, "cpu", labels=options.labels)
    generator, backend = translator.generator, translator.backend
    assert isinstance(backend, TorchBackend)
    if generator.recurrent and options.io == "image":
        raise UsageError(
            "This model takes the frame before each with what it made of that, which are no 8-bit picture.\n"
            "Leave out --io image."
        )
    if options.io == "tensor" and options.size:
        _check_size(options.size, generator)
    quantised = options.precision in _QUANTISED
    most = CALIBRATION if quantised else PROOF_PICTURES
    found, pictures_from = pictures or proof_pictures(source, translator, options.verify, most)
    named = found[:PROOF_PICTURES]

    def to_network(batch: Array) -> Array:
        if options.io == "tensor":
            return batch
        height, width = padded_sides(generator, batch.shape[1], batch.shape[2])
        return np.stack([pad(to_unit(pixels), height, width) for pixels in batch])

    def answer(batch: Array) -> Array:
        if options.io == "tensor":
            return finite(np.concatenate([backend.run(one[None]) for one in batch]))
        return np.stack([from_unit(finite(translator.translate_values(to_unit(pixels)))) for pixels in batch])

    changes = {
        "parts": {translator.direction: generator},
        "usual": None,
        "io": options.io,
        "precision": "fp32" if quantised else options.precision,
        "fixed_size": options.size,
    }
    samples = [sampled(one, options, generator) for _, one in found] if quantised else []
    batches = list(proof_batches(named, options, generator, translator.spec.trained_crop_px))
    spec = translator.spec.model_copy(update=changes)
    return Reference(spec, backend.network, batches, answer, to_network, len(named), pictures_from, samples)


def _of_generator(source: Path, options: ExportOptions) -> Reference:
    generator = ImageGenerator.open(source, "cpu")
    backend = generator.backend
    assert isinstance(backend, TorchBackend)
    part = generator.spec.latent_generator
    assert part is not None
    quantised = options.precision in _QUANTISED
    precision = "fp32" if quantised else options.precision
    spec = generator.spec.model_copy(update={"parts": {GENERATE: part}, "precision": precision})
    samples = [generator.inputs(generator.draw([seed])) for seed in range(CALIBRATION)] if quantised else []
    batches = [_seeded(generator, count) for count in (1, 2, PROOF_SEEDS)]
    if part.place_px:  # a size that no axis was traced with
        places = part.out_px // part.place_px
        sides = (places + 1) * part.place_px, (2 * places + 1) * part.place_px
        batches.append(_seeded(ImageGenerator(generator.spec, backend, sides), 2))
    return Reference(
        spec,
        backend.network,
        batches,
        lambda batch: finite(backend.run(batch)),
        lambda batch: batch,
        PROOF_SEEDS,
        f"seeds 0 to {PROOF_SEEDS - 1}",
        samples,
    )


def _seeded(generator: ImageGenerator, count: int) -> ProofBatch:
    """Return what the network takes for the first seeds."""
    latents = vary(generator.draw(range(count)), generator.generator.blocks)
    return ProofBatch(generator.inputs(latents), [f"seed {seed}" for seed in range(count)])


def vary(latents: Array, blocks: Sequence[LatentBlock]) -> Array:
    """Draw what is constant in all but the first of latents (N, size), since users may set it."""
    random = np.random.default_rng(0)
    varied = [
        random.random((len(latents), block.size), np.float32) if block.prior == "constant" else None for block in blocks
    ]
    parts = np.split(latents, np.cumsum([block.size for block in blocks])[:-1], axis=1)
    drawn = np.concatenate([part if one is None else one for part, one in zip(parts, varied, strict=True)], axis=1)
    return np.concatenate([latents[:1], drawn[1:]])


def _check_size(size: tuple[int, int], generator: Part) -> None:
    """Raise UsageError for a size that the network alone does not take, with the next that it does."""
    height, width = padded_sides(generator, *size)
    if (height, width) != size:
        multiple, least = generator.size_multiple, generator.size_minimum
        raise UsageError(
            f"--size {size[1]}x{size[0]}: this network takes sides that are multiples of {multiple}, from {least} px.\n"
            f"Use --size {width}x{height}, or --io image, which pads inside the graph."
        )
