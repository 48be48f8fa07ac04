"""What `i2i diagnose` measures in healthy runs and in made illnesses: the figures behind its thresholds.

`ill_runs.py` makes both. Healthy runs are short trainings on the shipped pictures, on Fashion-MNIST and on the ring of
8 Gaussians. Illnesses are trained where a setting makes them, else made by changing a healthy run: its networks,
weights or data. Thresholds were set on seeds 20 to 22, and tested on seeds 30 to 34 (docs/diagnose.md).

    python datasets/fashion_mnist.py SOURCE OUT/fashion --limit 6000
    python tools/bench/diagnose.py OUT [--seeds 20 30] [--train FAMILY ...]

Trainings go to OUT and are kept. With --train, only those of these families are made, with these seeds.
"""

import argparse
import time
from pathlib import Path

from ill_runs import HEALTHY, ILL, TRAINED, run_of

from i2i.diagnosis import ILLNESSES, NotMeasured, RunFacts
from i2i.diagnosis.illnesses import Illness
from i2i.errors import I2IError

CHOSEN, TESTED = range(20, 23), range(30, 35)


def measure(illness: Illness, facts: RunFacts) -> float | None:
    """Return the number of an illness, None where it is not measured."""
    try:
        return illness.measure(facts).number
    except (NotMeasured, I2IError):
        return None


def ill_cells(illness: Illness, facts: list[RunFacts]) -> str:
    """Return the numbers of a made illness, and how often it was named."""
    numbers = [measure(illness, one) for one in facts]
    named = sum(number is not None and illness.has(number) for number in numbers)
    shown = ", ".join("not measured" if number is None else f"{number:.3g}" for number in numbers)
    return f"{shown} | {named} of {len(numbers)} named"


def measure_all(run: Path) -> dict[str, float | None]:
    """Return every number of a run."""
    facts = RunFacts(run, device="cpu")
    return {name: measure(illness, facts) for name, illness in ILLNESSES.items()}


def healthy_cell(illness: Illness, measured: list[float | None]) -> str:
    """Return the worst number of healthy runs, and how many are silent; empty where it is not measured."""
    numbers = [number for number in measured if number is not None]
    if not numbers:
        return ""
    worst = max(numbers) if illness.ill == "above" else min(numbers)
    return f"{worst:.3g}: {sum(not illness.has(number) for number in numbers)} of {len(numbers)} silent"


def print_tables(out: Path, seeds: list[int]) -> None:
    """Print a table of made illnesses and one of healthy runs."""
    limits = {name: f"{'>' if one.ill == 'above' else '<'} {one.threshold:g}" for name, one in ILLNESSES.items()}
    print(f"| illness | made by | ill if | seeds {', '.join(map(str, seeds))} | |\n|---|---|---|---|---|")
    for name, illness in ILLNESSES.items():
        for title, (family, make) in ILL.get(name, {}).items():
            cells = ill_cells(illness, [make(run_of(out, family, seed)) for seed in seeds])
            print(f"| {name} | {title} | {limits[name]} | {cells} |", flush=True)
    print("\n| illness | healthy | ill if | worst of seeds 20 to 22 | worst of seeds 30 to 34 |\n|---|---|---|---|---|")
    numbers = {
        (family, seed): measure_all(run_of(out, family, seed)) for family in HEALTHY for seed in (*CHOSEN, *TESTED)
    }
    for name, illness in ILLNESSES.items():
        as_they_are = {family for family, make in ILL.get(name, {}).values() if make is RunFacts}
        for family in (one for one in HEALTHY if one not in as_they_are):
            both = [healthy_cell(illness, [numbers[family, seed][name] for seed in some]) for some in (CHOSEN, TESTED)]
            if any(both):
                print(f"| {name} | {family} | {limits[name]} | {' | '.join(both)} |", flush=True)


def main() -> None:
    """Train, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[20, 30], help="of made illnesses, or of --train")
    parser.add_argument("--train", nargs="+", choices=[*HEALTHY, *TRAINED])
    given = parser.parse_args()
    for seed in given.seeds if given.train else ():
        for family in given.train:
            run_of(given.out, family, seed)
    if not given.train:
        print_tables(given.out, given.seeds)
    print(f"\n{time.process_time() / 60:.0f} min of processor time")


if __name__ == "__main__":
    main()
