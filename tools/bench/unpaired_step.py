"""Compare time and memory of a train step of CUT and FastCUT with CycleGAN's, on random images.

    python tools/bench/unpaired_step.py                       # 128 px and 6 blocks: some minutes on two CPU cores
    python tools/bench/unpaired_step.py --cases "CycleGAN 256, batch 1" "CUT 256, batch 1" "FastCUT 256, batch 1"

Each case is our side of `train_step.py` in its own process; the processes take turns. The table shows medians, with
quartiles in brackets. Shares are relative to the first case, turn by turn. A peak is that of the whole process.
"""

import argparse
import contextlib
import statistics

from train_step import CASES, Answer, answer, ask, spread, start

UNPAIRED = ["CycleGAN 128, batch 1", "CUT 128, batch 1", "FastCUT 128, batch 1"]


def main() -> None:
    """Let the cases take turns and print a table."""
    parser = argparse.ArgumentParser(description="Compare the train steps of unpaired algorithms.")
    parser.add_argument("--cases", nargs="+", default=UNPAIRED, choices=list(CASES), metavar="CASE")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=5, help="Turns of each case.")
    options = parser.parse_args()
    turns: dict[str, list[Answer]] = {name: [] for name in options.cases}
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(start("ours", name, "default", options.device)) for name in turns}
        for process in processes.values():
            answer(process)  # set up and warm
        for _ in range(options.rounds):
            for name, process in processes.items():
                turns[name].append(ask(process, "turn"))
        peaks = {name: ask(process, "end")["peak_mib"] for name, process in processes.items()}
    heads = ["training step", "clock, ms an image", "processor, ms an image", "share of processor time"]
    print(f"| {' | '.join([*heads, 'peak memory'])} |\n|{'---|' * 5}")
    first = turns[options.cases[0]]
    for name, own in turns.items():
        milliseconds = [[1000 * turn[key] / CASES[name].batch for turn in own] for key in ("seconds", "processor")]
        per_image = CASES[options.cases[0]].batch / CASES[name].batch
        shares = [one["processor"] / two["processor"] * per_image for one, two in zip(own, first, strict=True)]
        cells = [name, *(spread(values, 0) for values in milliseconds), f"{statistics.median(shares):.2f}"]
        print(f"| {' | '.join([*cells, f'{peaks[name]:.0f} MiB'])} |")


if __name__ == "__main__":
    main()
