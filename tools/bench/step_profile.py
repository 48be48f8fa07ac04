"""Show where the processor time of a train step goes: plain and ours, on one thread, on random images in memory.

    OMP_NUM_THREADS=1 python tools/bench/step_profile.py
    OMP_NUM_THREADS=1 python tools/bench/step_profile.py --cases "DCGAN 64, batch 64" --layers

It times each of torch's operations by the processor's clock, which other processes hardly change, and takes each
group's median over some steps. `share` is the share of the limit that convolutions and matrix products reach: that of
the fastest of three large ones in the same precision. What no operation spends is Python's and autograd's.
`--layers` lists the convolutions one by one. The cases are those of `train_step.py`.
"""

import argparse
import statistics
import time
from collections import defaultdict
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from train_step import CASES, USUAL, make_ours, make_plain, matmul_flops, register_product_flops

GROUPS = {  # by a part of the name, the first that fits
    "convolution forward": ("aten.convolution.default",),
    "convolution backward": ("convolution_backward",),
    "products": ("mm", "_linear_pointwise", "dot_product_attention"),
    "norms": ("norm",),
    "activations": ("relu", "threshold", "tanh", "silu", "sigmoid"),
    "optimizer": ("adam", "addcdiv", "addcmul", "lerp", "sqrt"),
    "copies": ("copy", "clone", "cat", "pad", "im2col", "col2im", "upsample", "zero", "fill", "empty", "new_"),
}
STEPS = 2


class Timed(TorchDispatchMode):
    """Add up the seconds of processor time and the floating-point operations of each operation that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.layers: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Time one operation."""
        begun = time.thread_time()
        made = func(*args, **(kwargs or {}))
        seconds = time.thread_time() - begun
        counter = flop_registry.get(func.overloadpacket)
        flops = counter(*args, **(kwargs or {}), out_val=made) if counter else 0
        group = next((name for name, parts in GROUPS.items() if any(part in str(func) for part in parts)), "others")
        keys = [(self.spent, group)]
        if "convolution" in group or group == "products":
            shapes = " ".join("x".join(map(str, one.shape)) for one in args if isinstance(one, torch.Tensor))
            wanted = str(args[-1]) if "backward" in group else ""
            keys.append((self.layers, f"{func} {shapes} {wanted}"))
        for table, key in keys:
            table[key][0] += seconds
            table[key][1] += flops
        return made


def main() -> None:
    """Print a table for each case."""
    parser = argparse.ArgumentParser(description="Show where the processor time of a train step goes.")
    parser.add_argument("--cases", nargs="+", default=USUAL, choices=list(CASES), metavar="CASE")
    parser.add_argument("--sides", nargs="+", default=["plain", "ours"], choices=["plain", "ours"])
    parser.add_argument("--layers", action="store_true", help="List convolutions and products one by one, too.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    register_product_flops()
    limit = max(matmul_flops("cpu", "default"), convolution_flops())
    names = [*GROUPS, "others", "Python and autograd"]
    print(f"The limit is {limit / 1e9:.0f} GFLOP/s. Milliseconds of processor time:\n")
    print(f"| train step | side | {' | '.join(names)} | whole step | share in convolutions and products |")
    print("|---|---|" + "--:|" * (len(names) + 2), flush=True)
    for name in options.cases:
        for side in options.sides:
            print(profile(name, side, limit, names, options.layers), flush=True)


def profile(name: str, side: str, limit: float, names: list[str], layers: bool) -> str:
    """Return a row of the table."""
    torch.manual_seed(0)
    step, batch = (make_ours if side == "ours" else make_plain)(CASES[name], (), "cpu")
    wholes, runs = [], []
    for number in range(2 * STEPS + 2):
        begun = time.process_time()
        if number % 2:
            with Timed() as timed:
                step(batch)
            runs.append(timed)
        else:
            step(batch)
            wholes.append(time.process_time() - begun)
    whole = statistics.median(wholes[1:])
    parts = {key: statistics.median(run.spent[key][0] for run in runs[1:]) for key in names[:-1]}
    parts[names[-1]] = max(0.0, whole - sum(parts.values()))
    heavy = [key for key in names if "convolution" in key or key == "products"]
    share = sum(runs[-1].spent[key][1] for key in heavy) / limit / sum(parts[key] for key in heavy)
    if layers:
        medians = {
            key: (statistics.median(run.layers[key][0] for run in runs[1:]), flops / limit)
            for key, (_, flops) in runs[-1].layers.items()
        }
        for key, (seconds, least) in sorted(medians.items(), key=lambda item: item[1][1] - item[1][0]):
            print(f"{1000 * seconds:8.1f} ms, {1000 * (seconds - least):6.1f} above the limit: {key}")
    cells = [name, side, *(f"{1000 * parts[key]:.0f}" for key in names), f"{1000 * whole:.0f}", f"{share:.0%}"]
    return f"| {' | '.join(cells)} |"


def convolution_flops() -> float:
    """Return the operations per second of a large convolution in channels_last, the best of five."""
    image = torch.randn(1, 256, 64, 64).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(5):
        begun = time.process_time()
        F.conv2d(image, weight, padding=1)
        times.append(time.process_time() - begun)
    return 2 * image.numel() * 256 * 9 / min(times)


if __name__ == "__main__":
    main()
