"""Compare our train step with a plain one, in turns in one run, on random images in memory.

    python tools/bench/train_step.py                                   # a few minutes on two CPU cores
    python tools/bench/train_step.py --device cuda --modes fp32 tf32 bf16 channels_last compile

Ours is the Engine's train step; `plain_step.py` holds the plain steps. Each side has its own process: what `i2i train`
sets for its process is part of our step, and peak memory is measured per process. The two take turns. The driver loads
no torch, because a child inherits its parent's peak. First, both sides train three steps in float64, with fewer
channels and without dropout, and must agree within 1e-9. In float32, only first steps could be compared, since
training amplifies rounding.

The table shows medians, with quartiles in brackets. `faster` is plain time over our time, turn by turn, of the clock
and of the processor. `of matmul` is the share of the rate that a large matrix product reaches in the same precision.
`host` is the share of our step after which the host is free: near 1 on a GPU, the host is the bottleneck. `--side` is
for the processes that this one starts. Both stand in one script of some 300 lines, since they share its cases.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from i2i.algorithms import Algorithm

Answer = dict[str, float]


class Case(NamedTuple):
    """What to train: a preset with changes, and the images in one batch."""

    preset: str
    changes: tuple[str, ...]
    batch: int


SMALL = ("data.resize_px=143", "data.crop_px=128")
CASES = {
    "pix2pix 256, batch 1": Case("pix2pix", (), 1),
    "pix2pix 256, batch 4": Case("pix2pix", (), 4),
    "pix2pix 128, batch 1": Case("pix2pix", (*SMALL, "generator.depth=7"), 1),
    "CycleGAN 128, batch 1": Case("cyclegan", (*SMALL, "generator.blocks=6"), 1),
    "CUT 128, batch 1": Case("cut", (*SMALL, "generator.blocks=6"), 1),
    "FastCUT 128, batch 1": Case("fastcut", (*SMALL, "generator.blocks=6"), 1),
    "DCGAN 64, batch 64": Case("dcgan", ("generator.width=64", "discriminator.width=64"), 64),
}
USUAL = list(CASES)
CASES |= {  # too long for every day
    "CycleGAN 256, batch 1": Case("cyclegan", (), 1),
    "CUT 256, batch 1": Case("cut", (), 1),
    "FastCUT 256, batch 1": Case("fastcut", (), 1),
}
MODES: dict[str, tuple[str, ...]] = {  # settings of our side; the plain side is always eager fp32
    "default": (),
    "fp32": ("train.tf32=false",),
    "tf32": ("train.tf32=true",),
    "bf16": ("train.precision=bf16",),
    "channels_last": ("train.precision=bf16", "train.channels_last=true"),
    "compile": ("train.precision=bf16", "train.channels_last=true", "train.compile=true"),
}
CHECK_STEPS, TOLERANCE = 3, 1e-9
NARROW = ("generator.width=8", "discriminator.width=8")
"""The same networks with fewer channels, for the comparison of losses: float64 is slow."""
TURN_SECONDS = 1.0
"""How long a turn of one side lasts, in seconds; at least one step."""


def main() -> None:
    """Compare every case and print a table, or serve as one of the sides."""
    parser = argparse.ArgumentParser(description="Compare our train step with a plain one.")
    parser.add_argument("--cases", nargs="+", default=USUAL, choices=list(CASES), metavar="CASE")
    parser.add_argument("--modes", nargs="+", default=["default"], choices=list(MODES), metavar="MODE")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=9, help="Turns of each side.")
    parser.add_argument("--skip-check", action="store_true", help="Skip the comparison of losses.")
    parser.add_argument("--side", choices=["plain", "ours", "check"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    case = CASES[options.cases[0]]
    if options.side == "check":
        print(json.dumps({"worst": check(case)}))
    elif options.side:
        serve(options.side, case, options.modes[0], options.device)
    else:
        compare(options)


# The driver


def compare(options: argparse.Namespace) -> None:
    """Print one row for each case and mode."""
    heads = ["train step", "mode", "plain, ms", "ours, ms", "faster: clock", "faster: processor"]
    heads += ["peak memory, plain to ours", "img/s", "of matmul", "host"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in options.cases:
        if not options.skip_check:
            with start("check", name, "default", "cpu") as process:
                worst = answer(process)["worst"]
            if not worst <= TOLERANCE:
                sys.exit(f"{name}: the losses of the two sides differ by {worst:.1e}.")
            print(f"{name}: losses agree within {worst:.1e} over {CHECK_STEPS} steps in float64.", file=sys.stderr)
        for mode in options.modes:
            print(row(name, mode, options.device, options.rounds), flush=True)


def row(name: str, mode: str, device: str, rounds: int) -> str:
    """Let the two sides take turns, and return a row of the table."""
    turns: dict[str, list[Answer]] = {"plain": [], "ours": []}
    with contextlib.ExitStack() as stack:
        sides = {side: stack.enter_context(start(side, name, mode, device)) for side in turns}
        for process in sides.values():
            answer(process)  # both are set up and warm
        for number in range(rounds):
            for side in sorted(sides, reverse=number % 2 == 1):
                turns[side].append(ask(sides[side], "turn"))
        plain, ours = (ask(sides[side], "end") for side in turns)
    faster = {
        key: [one[key] / two[key] for one, two in zip(turns["plain"], turns["ours"], strict=True)]
        for key in ("seconds", "processor")
    }
    times = {side: [1000 * turn["seconds"] for turn in turns[side]] for side in turns}
    cells = [name, mode, spread(times["plain"], 0), spread(times["ours"], 0)]
    cells += [spread(faster["seconds"], 2), spread(faster["processor"], 2)]
    cells.append(f"{plain['peak_mib']:.0f} to {ours['peak_mib']:.0f} MiB: {ours['peak_mib'] / plain['peak_mib']:.2f}")
    seconds = statistics.median(turn["seconds"] for turn in turns["ours"])
    cells.append(f"{CASES[name].batch / seconds:.1f}")
    cells.append(f"{ours['flops'] / seconds / ours['matmul_flops']:.0%}")
    cells.append(f"{statistics.median(turn['host'] for turn in turns['ours']):.2f}")
    return f"| {' | '.join(cells)} |"


def spread(values: list[float], digits: int) -> str:
    """Return the median, and the quartiles in brackets."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def start(side: str, name: str, mode: str, device: str) -> "subprocess.Popen[str]":
    """Start one side; leaving its context closes its input and waits for it to end."""
    words = [sys.executable, __file__, "--side", side, "--cases", name, "--modes", mode, "--device", device]
    environment = {**({"OMP_WAIT_POLICY": "PASSIVE"} if side == "ours" else {}), **os.environ}  # as `i2i train` sets it
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process: "subprocess.Popen[str]", question: str) -> Answer:
    """Send one line and wait for the answer."""
    assert process.stdin is not None
    print(question, file=process.stdin, flush=True)
    return answer(process)


def answer(process: "subprocess.Popen[str]") -> Answer:
    """Return the next answer of a side, or exit if it has ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit("One of the two sides has ended; see above.")
    answered: Answer = json.loads(line)
    return answered


# The sides


def serve(side: str, case: Case, mode: str, device: str) -> None:
    """Serve as one side: answer "turn" with seconds per step, and "end" with memory and rates, as lines of JSON."""
    import torch

    torch.manual_seed(0)
    step, pictures = (make_ours if side == "ours" else make_plain)(case, MODES[mode], device)
    batch = {name: picture.to(device) for name, picture in pictures.items()}
    synchronise = torch.cuda.synchronize if device == "cuda" else (lambda: None)

    def run(steps: int) -> Answer:
        synchronise()
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            step(batch)
        host = time.perf_counter() - clock
        synchronise()
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        return {"seconds": clock / steps, "processor": processor / steps, "host": host / clock}

    run(3)
    steps = max(1, round(TURN_SECONDS / run(1)["seconds"]))
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        if line.strip() == "turn":
            print(json.dumps(run(steps)), flush=True)
            continue
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident_bytes()
        rates = {"flops": count_flops(step, batch), "matmul_flops": matmul_flops(device, mode)}
        print(json.dumps({"peak_mib": peak / 2**20, **rates}), flush=True)


def resident_bytes() -> int:
    """Return the peak memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count_flops(step: Any, batch: "dict[str, Tensor]") -> float:
    """Return the floating-point operations of matrix products and convolutions in one step."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step(batch)
    return float(counter.get_total_flops())


def matmul_flops(device: str, mode: str) -> float:
    """Return the operations per second of a large matrix product, the best of five."""
    import torch

    side = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if "train.precision=bf16" in MODES[mode] else torch.float32
    one = torch.randn(side, side, device=device, dtype=dtype)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        (one @ one).sum().item()  # waits for the device
        times.append(time.perf_counter() - begun)
    return 2 * side**3 / min(times)


def make_algorithm(case: Case, changes: tuple[str, ...]) -> "tuple[Algorithm, dict[str, Tensor]]":
    """Build our algorithm with its networks, and a batch of random images."""
    import torch

    from i2i import load_config
    from i2i.algorithms import ALGORITHMS, resolve

    config = resolve(load_config(case.preset, [*case.changes, f"train.batch={case.batch}", *changes]))
    algorithm = ALGORITHMS[config.algorithm](config)
    names = ("image",) if algorithm.data == "images" else ("a", "b")
    shape = (case.batch, 3, config.data.crop_px, config.data.crop_px)
    return algorithm, {name: torch.rand(shape) * 2 - 1 for name in names}


def make_ours(case: Case, changes: tuple[str, ...], device: str) -> Any:
    """Return the Engine's train step, in a process set up as `i2i train` does it, and a batch."""
    from i2i.training.engine import Engine
    from i2i.training.fabric import make_fabric

    algorithm, batch = make_algorithm(case, (f"train.device={device}", *changes))
    return Engine(make_fabric(algorithm.config), algorithm).train_step, batch


def make_plain(case: Case, changes: tuple[str, ...], device: str) -> Any:
    """Return the plain step and a batch."""
    from plain_step import STEPS, plain_layers

    from i2i.training.fabric import set_tf32

    set_tf32(False)
    algorithm, batch = make_algorithm(case, ())
    for network in algorithm.networks.values():
        plain_layers(network.to(device).train())
    return STEPS[case.preset](algorithm.networks), batch


def check(case: Case) -> float:
    """Train both sides in float64 from the same weights; return the largest relative difference of a loss."""
    import torch
    from lightning_fabric import Fabric
    from plain_step import STEPS, plain_layers

    from i2i.training.engine import Engine

    torch.set_default_dtype(torch.float64)
    losses: list[list[dict[str, float]]] = []
    for side in ("plain", "ours"):
        torch.manual_seed(0)
        algorithm, batch = make_algorithm(case, NARROW)
        for dropout in (m for n in algorithm.networks.values() for m in n.modules() if isinstance(m, torch.nn.Dropout)):
            dropout.p = 0.0
        if side == "ours":
            step: Any = Engine(Fabric(accelerator="cpu", precision="64-true"), algorithm).train_step
        else:
            for network in algorithm.networks.values():
                plain_layers(network)
            step = STEPS[case.preset](algorithm.networks)
        losses.append([])
        for number in range(CHECK_STEPS):
            torch.manual_seed(number)  # both draw the same noise
            losses[-1].append({name: float(term.detach()) for name, term in step(batch).items()})
    plain, ours = losses
    return max(
        abs(theirs[name] - mine[name]) / abs(theirs[name])
        for theirs, mine in zip(plain, ours, strict=True)
        for name in theirs
    )


if __name__ == "__main__":
    main()
