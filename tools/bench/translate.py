"""Compare `i2i translate` on a folder with a plain loop, and the network alone in both libraries.

    python tools/bench/translate.py [--networks unet16 unet64 resnet9] [--pictures 60] [--rounds 3] [--device cuda]

The plain loop takes one picture at a time: Pillow, torch eager with its default threads, PNG at Pillow's default level.
The pictures are 256 px JPEGs cut from datasets/maps. The networks have random weights, which run as fast as trained
ones. Both sides take turns in this process, and read the files each time. Prints medians: of the clock, which the
threads of the plain loop share among other processes badly, and of the processor time of a picture. Beside other work
its threads spin; with `--plain-threads 1` the processor time is that of the work alone.

On a GPU both sides run in torch, the plain loop too, and the network alone is measured in several precisions.
"""

import argparse
import copy
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from PIL import Image

import i2i
from i2i.images import Array, from_unit, to_unit
from i2i.machine import thread_count
from i2i.models.modelfile import load_generator, read_spec, save_model
from i2i.models.spec import ModelSpec, translating
from i2i.networks import GENERATORS, TranslatingGenerator
from i2i.runtime.backends import OnnxBackend
from i2i.runtime.folder import list_tasks
from i2i.runtime.outcome import Result
from i2i.runtime.pipeline import translate_files
from i2i.runtime.translator import Translator

SIDE = 256
MAPS = Path(__file__).parents[2] / "datasets" / "maps"
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "unet16": ("unet", {"depth": 8, "width": 16}),
    "unet64": ("unet", {"depth": 8, "width": 64}),
    "resnet9": ("resnet", {"blocks": 9, "width": 64}),
}


def write_pictures(folder: Path, count: int) -> None:
    """Cut `count` JPEGs of 256 px from the shipped maps."""
    sources = sorted(MAPS.rglob("*.jpg"))
    for number in range(count):
        image = Image.open(sources[number % len(sources)])
        image.crop((0, 0, image.height, image.height)).resize((SIDE, SIDE)).save(
            folder / f"{number:04}.jpg", quality=92
        )


def write_model(folder: Path, name: str, verify: Path, export: bool) -> tuple[Path, Path]:
    """Write one network with random weights as .safetensors and, to `export`, as .onnx; return both paths."""
    network, sizes = NETWORKS[name]
    arguments: dict[str, Any] = {"in_channels": 3, "out_channels": 3, **sizes}
    torch.manual_seed(0)
    module = GENERATORS[network](**arguments)
    assert isinstance(module, TranslatingGenerator)
    part = translating(network, arguments, 3, 3, module.size_multiple, module.size_minimum)
    spec = ModelSpec(
        i2i_version=i2i.__version__,
        algorithm="pix2pix",
        parts={"A2B": part},
        norm_statistics="image",
        trained_crop_px=SIDE,
        trained_side_px=SIDE,
    )
    path = folder / f"{name}.safetensors"
    save_model(path, spec, {"A2B": module})
    if export:
        i2i.export(path, path.with_suffix(".onnx"), verify=verify)
    return path, path.with_suffix(".onnx")


class Rate(NamedTuple):
    """Pictures per second by the clock, and seconds of processor time for a picture."""

    by_clock: float
    processor_s: float

    @classmethod
    def since(cls, start: tuple[float, float], pictures: int) -> Self:
        """Return the rate of so many pictures since `now()` returned `start`."""
        clock, processor = (end - begin for begin, end in zip(start, now(), strict=True))
        return cls(pictures / clock, processor / pictures)


def now() -> tuple[float, float]:
    """Return the clock and the processor time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def plain_loop(network: torch.nn.Module, device: str, source: Path, output: Path) -> Rate:
    """Translate a folder one picture at a time."""
    output.mkdir()
    paths = sorted(source.iterdir())
    start = now()
    for path in paths:
        values = to_unit(np.asarray(Image.open(path).convert("RGB")))
        with torch.inference_mode():
            made = network(torch.from_numpy(values)[None].to(device))[0].cpu().numpy()
        Image.fromarray(from_unit(made)).save(output / f"{path.stem}.png")
    return Rate.since(start, len(paths))


def ours(model: Path, device: str, source: Path, output: Path) -> tuple[Rate, Result]:
    """Translate the folder as `i2i translate --format png` does."""
    from i2i.runtime.picture_options import PictureOptions

    options = PictureOptions(format="png")
    translator = Translator.open(model, device=device, threads=1 if device == "cpu" else None)
    translator(source / "0000.jpg")  # the first call of a process sets libraries up
    start = now()
    result = translate_files(translator, list_tasks(source, output, 3, options=options), options=options)
    assert not result.refused
    return Rate.since(start, result.written), result


def calls_a_second(call: Callable[[], object], threads: int, seconds: float) -> float:
    """Return the calls per second of several threads together."""
    call()
    counts, start = [0] * threads, time.perf_counter()

    def work(place: int) -> None:
        while time.perf_counter() - start < seconds:
            call()
            counts[place] += 1

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def networks_alone(network: torch.nn.Module, model: Path, batch: Array, seconds: float) -> tuple[float, float]:
    """Return pictures per second of torch eager with all threads, and of our calls with one thread each."""
    session = OnnxBackend(model, "cpu", threads=1)

    def eager() -> None:
        with torch.inference_mode():
            network(torch.from_numpy(batch))

    return calls_a_second(eager, 1, seconds), calls_a_second(lambda: session.run(batch), thread_count(), seconds)


def on_device(network: torch.nn.Module, device: str, batch: Array, seconds: float = 0.5) -> str:
    """Return the pictures per second of the network alone on a GPU, in each precision, one by one and by 16."""
    found = []
    image = torch.from_numpy(batch).to(device)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        for layout in (torch.contiguous_format, torch.channels_last):
            module = copy.deepcopy(network).to(device, dtype).to(memory_format=layout)
            for count in (1, 16):
                images = image.expand(count, -1, -1, -1).contiguous(memory_format=layout)

                def call(module: torch.nn.Module = module, images: torch.Tensor = images) -> None:
                    with torch.inference_mode():
                        module(images).float().cpu()

                rate = count * calls_a_second(call, 1, seconds)
                found.append(
                    f"{precision}{' channels_last' if layout == torch.channels_last else ''} {count}: {rate:.0f}"
                )
    return ", ".join(found)


def main() -> None:
    """Measure each network, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="For the network alone, on a CPU.")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--plain-threads", type=int, default=thread_count(), help="Torch's, in the plain loop.")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in"
        source.mkdir()
        write_pictures(source, words.pictures)
        for network in words.networks:
            print(measure(network, folder, source, words), flush=True)


def measure(network: str, folder: Path, source: Path, words: argparse.Namespace) -> str:
    """Measure one network; return a line."""
    on_cpu, device = words.device == "cpu", words.device
    weights, exported = write_model(folder, network, source, export=on_cpu)
    model = exported if on_cpu else weights
    module = load_generator(weights, read_spec(weights), "A2B").to(device)
    plain, quick, shares = [], [], Result()
    for number in range(words.rounds):
        torch.set_num_threads(words.plain_threads)
        plain.append(plain_loop(module, device, source, folder / f"plain-{network}{number}"))
        rate, shares = ours(model, device, source, folder / f"ours-{network}{number}")
        quick.append(rate)
    batch = to_unit(np.asarray(Image.open(source / "0000.jpg")))[None]
    if on_cpu:
        torch.set_num_threads(thread_count())
        eager, alone = networks_alone(module, model, batch, words.seconds)
        alone_words = f"torch eager {eager:.1f}, ours {alone:.1f}: {alone / eager:.2f} times"
    else:
        alone_words = on_device(module, device, batch)
    busy_s = sum(shares.busy_s.values())
    pairs = list(zip(plain, quick, strict=True))
    clock = statistics.median(two.by_clock / one.by_clock for one, two in pairs)
    processor = statistics.median(one.processor_s / two.processor_s for one, two in pairs)
    rates = [statistics.median(one.by_clock for one in side) for side in (plain, quick)]
    taken = [1000 * statistics.median(one.processor_s for one in side) for side in (plain, quick)]
    return (
        f"{network}: plain {rates[0]:.1f} img/s, ours {rates[1]:.1f}: {clock:.2f} times by the clock; "
        f"{taken[0]:.1f} and {taken[1]:.1f} ms of processor time: {processor:.2f} times; "
        + ", ".join(f"{stage} {seconds / busy_s:.0%}" for stage, seconds in shares.busy_s.items())
        + f"; network alone: {alone_words}"
    )


if __name__ == "__main__":
    main()
