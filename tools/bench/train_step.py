"""Compare our train step with a plain one, in turns in one run, on random images in memory.

    python tools/bench/train_step.py                                   # a few minutes on two CPU cores
    python tools/bench/train_step.py --device cuda --together --modes fp32 tf32 bf16 channels_last compile graphs

Ours is the Engine's train step; `plain_step.py` holds the plain steps. Each side has its own process: what `i2i train`
sets for its process is part of our step, and peak memory is measured per process. The two take turns. The driver loads
no torch, because a child inherits its parent's peak. First, both sides train three steps in float64, with fewer
channels and without dropout, and must agree within 1e-9. In float32, only first steps could be compared, since
training amplifies rounding.

The table shows medians, with quartiles in brackets. `faster` is plain time over our time, turn by turn, of the clock
and of the processor. `of matmul` is the share of the rate that a large matrix product reaches in the same precision.
`host` is the share of our step after which the host is free: near 1 on a GPU, the host is the bottleneck. The plain
side computes in full fp32; the mode `plain_tf32` is the same step with torch's own defaults, TF32 in convolutions.
`--together` starts the processes of all modes of a case at once, where memory allows, so that a GPU does not wait for
compilers. `--busy` keeps cores busy meanwhile, as the processes of others do. `--side` is for the processes that this
one starts. Both stand in one script of some 400 lines, since they share its cases.
"""

import argparse
import contextlib
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from i2i.algorithms import Algorithm

Answer = dict[str, float]
Sides = dict[str, "subprocess.Popen[str]"]


class Case(NamedTuple):
    """What to train: a preset with changes, and the images in one batch."""

    preset: str
    changes: tuple[str, ...]
    batch: int


SMALL = ("data.resize_px=143", "data.crop_px=128")
TINY = ("data.resize_px=68", "data.crop_px=64")
CASES = {
    "pix2pix 256, batch 1": Case("pix2pix", (), 1),
    "pix2pix 256, batch 4": Case("pix2pix", (), 4),
    "pix2pix 256, batch 16": Case("pix2pix", (), 16),
    "pix2pix 128, batch 1": Case("pix2pix", (*SMALL, "generator.depth=7"), 1),
    "CycleGAN 128, batch 1": Case("cyclegan", (*SMALL, "generator.blocks=6"), 1),
    "CUT 128, batch 1": Case("cut", (*SMALL, "generator.blocks=6"), 1),
    "FastCUT 128, batch 1": Case("fastcut", (*SMALL, "generator.blocks=6"), 1),
    "DCGAN 64, batch 64": Case("dcgan", ("generator.width=64", "discriminator.width=64"), 64),
    "modern 64, batch 8": Case("modern", TINY, 8),
    "modern_unpaired 64, batch 4": Case("modern_unpaired", TINY, 4),
}
USUAL = [name for name in CASES if not name.endswith("batch 16")]
CASES |= {  # too long for every day
    "modern 256, batch 8": Case("modern", (), 8),
    "CycleGAN 256, batch 1": Case("cyclegan", (), 1),
    "CUT 256, batch 1": Case("cut", (), 1),
    "FastCUT 256, batch 1": Case("fastcut", (), 1),
}
NARROW = ("generator.width=8", "discriminator.width=8")
"""The same networks with fewer channels, for the comparison of losses: float64 is slow."""
CASES["pix2pix 32, batch 1"] = Case(  # only to try the script
    "pix2pix", ("data.resize_px=36", "data.crop_px=32", "generator.depth=5", *NARROW), 1
)
EAGER, BF16, COMPILE = "train.cuda_graphs=false", "train.precision=bf16", "train.compile=true"
LAST, GRAPHS = "train.channels_last=true", "train.cuda_graphs=true"
MODES: dict[str, tuple[str, ...]] = {  # settings of our side; the plain side is always eager fp32
    "default": (),
    "fp32": ("train.tf32=false", EAGER),
    "tf32": ("train.tf32=true", EAGER),
    "bf16": (BF16, EAGER),
    "channels_last": (BF16, LAST, EAGER),
    "compile": (BF16, LAST, COMPILE, EAGER),
    "graphs_tf32": ("train.tf32=true", GRAPHS),
    "graphs": (BF16, LAST, GRAPHS),
    "graphs_compile": (BF16, LAST, COMPILE, GRAPHS),
    "plain_tf32": (),  # the plain side again
}
CHECK_STEPS, TOLERANCE = 3, 1e-9


def main() -> None:
    """Compare every case and print a table, or serve as one of the sides."""
    parser = argparse.ArgumentParser(description="Compare our train step with a plain one.")
    parser.add_argument("--cases", nargs="+", default=USUAL, choices=list(CASES), metavar="CASE")
    parser.add_argument("--modes", nargs="+", default=["default"], choices=list(MODES), metavar="MODE")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=9, help="Turns of each side.")
    parser.add_argument("--seconds", type=float, default=1.0, help="Length of a turn; at least one step.")
    parser.add_argument("--together", action="store_true", help="Start the processes of all modes of a case at once.")
    parser.add_argument("--busy", type=int, default=0, help="Processes beside both that keep a core busy.")
    parser.add_argument("--skip-check", action="store_true", help="Skip the comparison of losses.")
    parser.add_argument("--side", choices=["plain", "ours", "check"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    case = CASES[options.cases[0]]
    if options.side == "check":
        print(json.dumps({"worst": check(case)}))
    elif options.side:
        serve(options.side, case, options.modes[0], options.device, options.seconds)
    else:
        compare(options)


# The driver


class Ended(Exception):
    """A side has ended, after an error of its own."""


def compare(options: argparse.Namespace) -> None:
    """Print one row for each case and mode; exit with 1 if a side failed."""
    heads = ["train step", "mode", "plain, ms", "ours, ms", "faster: clock", "faster: processor"]
    heads += ["peak memory, plain to ours", "img/s", "of matmul", "host"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for name in [] if options.skip_check else options.cases:
        with start("check", name, "default", "cpu") as process:
            worst = answer(process)["worst"]
        if not worst <= TOLERANCE:
            sys.exit(f"{name}: the losses of the two sides differ by {worst:.1e}.")
        print(f"{name}: losses agree within {worst:.1e} over {CHECK_STEPS} steps in float64.", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        for _ in range(options.busy):
            stack.callback(subprocess.Popen([sys.executable, "-c", "while True: pass"]).kill)

        def begin(name: str, modes: Sequence[str]) -> Sides:
            kinds = {"": "plain", **{mode: "plain" if mode == "plain_tf32" else "ours" for mode in modes}}
            return {
                mode: stack.enter_context(start(side, name, mode or "default", options.device, options.seconds))
                for mode, side in kinds.items()
            }

        groups = [options.modes] if options.together else [[mode] for mode in options.modes]
        failed = [
            not whole
            for name in options.cases
            for modes in groups
            for whole in rows(name, begin(name, modes), options.rounds)
        ]
    sys.exit(1 if any(failed) else 0)


def rows(name: str, sides: Sides, rounds: int) -> Iterator[bool]:
    """Let the plain side, named "", and the modes take turns; print a row for each mode, and yield whether it ran."""
    turns: dict[str, list[Answer]] = {mode: [] for mode in sides}
    ends: dict[str, Answer] = {}
    for number in range(-1, rounds + 1):
        for mode in sorted(turns, reverse=number % 2 == 1):
            try:
                if number < 0:
                    answer(sides[mode])  # it is set up and warm
                elif number < rounds:
                    turns[mode].append(ask(sides[mode], "turn"))
                else:
                    ends[mode] = ask(sides[mode], "end")
                    sides[mode].stdin.close()  # type: ignore[union-attr]
            except Ended:
                del turns[mode]
    for mode in list(sides)[1:]:
        whole = mode in ends and "" in ends
        print(row(name, mode, turns, ends) if whole else f"| {name} | {mode} | failed |", flush=True)
        yield whole


def row(name: str, mode: str, turns: dict[str, list[Answer]], ends: dict[str, Answer]) -> str:
    """Return a row of the table."""
    faster = {
        key: [one[key] / two[key] for one, two in zip(turns[""], turns[mode], strict=True)]
        for key in ("seconds", "processor")
    }
    cells = [name, mode, *(spread([1000 * turn["seconds"] for turn in turns[side]], 1) for side in ("", mode))]
    cells += [spread(faster["seconds"], 2), spread(faster["processor"], 2)]
    plain, ours = ends[""], ends[mode]
    cells.append(f"{plain['peak_mib']:.0f} to {ours['peak_mib']:.0f} MiB: {ours['peak_mib'] / plain['peak_mib']:.2f}")
    seconds = statistics.median(turn["seconds"] for turn in turns[mode])
    cells.append(f"{CASES[name].batch / seconds:.1f}")
    cells.append(f"{ours['flops'] / seconds / ours['matmul_flops']:.0%}")
    cells.append(f"{statistics.median(turn['host'] for turn in turns[mode]):.2f}")
    return f"| {' | '.join(cells)} |"


def spread(values: list[float], digits: int) -> str:
    """Return the median, and the quartiles in brackets."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def start(side: str, name: str, mode: str, device: str, seconds: float = 1.0) -> "subprocess.Popen[str]":
    """Start one side; leaving its context closes its input and waits for it to end."""
    words = [sys.executable, __file__, "--side", side, "--cases", name, "--modes", mode, "--device", device]
    words += ["--seconds", str(seconds)]
    as_ours = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}  # as i2i sets it
    environment = {**(as_ours if side == "ours" else {}), **os.environ}
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process: "subprocess.Popen[str]", question: str) -> Answer:
    """Send one line and wait for the answer."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        print(question, file=process.stdin, flush=True)
    return answer(process)


def answer(process: "subprocess.Popen[str]") -> Answer:
    """Return the next answer of a side; raises Ended."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise Ended("One of the two sides has ended; see above.")
    answered: Answer = json.loads(line)
    return answered


# The sides


def serve(side: str, case: Case, mode: str, device: str, turn_seconds: float) -> None:
    """Serve as one side: answer "turn" with seconds per step, and "end" with memory and rates, as lines of JSON."""
    import torch

    torch.manual_seed(0)
    make = make_ours if side == "ours" else make_plain_tf32 if mode == "plain_tf32" else make_plain
    step, pictures = make(case, MODES[mode], device)
    batch = {name: picture.to(device) for name, picture in pictures.items()}

    def flops() -> float:
        """Count an eager step; there is nothing to count in a replay or in compiled networks."""
        if device == "cpu" and COMPILE not in MODES[mode]:
            return count_flops(step, batch)
        usual = tuple(change for change in MODES[mode] if change not in (COMPILE, GRAPHS))
        return count_flops(make(case, (*usual, EAGER), device)[0], batch)

    counted = None
    if device == "cuda":  # before the turns; on a CPU it would count as peak memory
        counted = flops()
        torch.cuda.reset_peak_memory_stats()
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

    run(5)
    print(json.dumps({}), flush=True)
    steps = 0
    for line in sys.stdin:
        if line.strip() == "turn":
            steps = steps or max(1, round(turn_seconds / run(1)["seconds"]))
            print(json.dumps(run(steps)), flush=True)
            continue
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else resident_bytes()
        rates = {"flops": counted or flops(), "matmul_flops": matmul_flops(device, mode)}
        print(json.dumps({"peak_mib": peak / 2**20, **rates}), flush=True)


def resident_bytes() -> int:
    """Return the peak memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def count_flops(step: Any, batch: "dict[str, Tensor]") -> float:
    """Return the floating-point operations of matrix products and convolutions in one step."""
    from torch.utils.flop_counter import FlopCounterMode

    register_product_flops()
    with FlopCounterMode(display=False) as counter:
        step(batch)
    return float(counter.get_total_flops())


@functools.cache  # torch refuses to register it twice
def register_product_flops() -> None:
    """Let torch's counter of operations know oneDNN's matrix products, too, which our layers use on some processors."""
    import torch
    from torch.utils.flop_counter import register_flop_formula

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _(rows: Any, weight: Any, *_: Any, **__: Any) -> int:
        return 2 * rows[0] * rows[1] * weight[0]


def matmul_flops(device: str, mode: str) -> float:
    """Return the operations per second of a large matrix product, the best of five."""
    import torch

    side = 8192 if device == "cuda" else 1024
    dtype = torch.bfloat16 if BF16 in MODES[mode] else torch.float32
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

    if GRAPHS in changes and case.preset == "cyclegan":
        changes += ("loss.history=0",)  # the pool draws on the host; the plain step has none either
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


def make_plain_tf32(case: Case, changes: tuple[str, ...], device: str) -> Any:
    """Return the plain step with torch's own defaults on NVIDIA GPUs, and a batch."""
    import torch

    made = make_plain(case, changes, device)
    torch.backends.cudnn.allow_tf32 = True
    return made


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
