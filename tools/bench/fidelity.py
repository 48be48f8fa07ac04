"""Compare i2i's distances between sets of pictures with those of torch-fidelity and clean-fid, on the same features.

    pip install --no-deps --target /tmp/fidelity torch-fidelity clean-fid
    pip install --target /tmp/fidelity tqdm requests
    PYTHONPATH=/tmp/fidelity python tools/bench/fidelity.py alexnet
    PYTHONPATH=/tmp/fidelity python tools/bench/fidelity.py inception

The pictures are the shipped photographs: one half against the other, blurred, and with noise. `inception` also compares
the features themselves, from pictures on, with clean-fid's.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from i2i import weights
from i2i.images import Array, read_image
from i2i.metrics import distributions
from i2i.metrics.features import _RESIZERS, features

PHOTOS = Path(__file__).parents[2] / "datasets" / "maps" / "train"


def main() -> None:
    """Print a line for each figure: ours, and theirs."""
    network = sys.argv[1] if len(sys.argv) > 1 else "random"
    photos = [read_image(path)[:, :128] for path in sorted(PHOTOS.iterdir())]
    for name, difference in compare_resizing(photos[0]):
        print(f"resizing, {name}: largest difference {difference:.1e} of 255")
    real, *sets = (features(each, network) for each in spoilt(photos))
    if network == "inception":
        difference = np.abs(real - clean_fid_features(spoilt(photos)[0])).max()
        print(f"features: largest {real.max():.3g}, largest difference from clean-fid's {difference:.1e}")
    print(f"{network} features of {len(real)} pictures against {len(sets[0])}")
    for name, made in zip(("other half", "blurred", "noise"), sets, strict=True):
        for metric, ours, theirs in compare(real, made):
            print(f"{name:11} {metric:28} {ours:.9g}  {theirs:.9g}")


def spoilt(photos: list[Array]) -> list[list[Array]]:
    """Return one half of the photos, and the other: as it is, blurred, and with noise."""
    import cv2

    random, others = np.random.default_rng(0), photos[1::2]
    blurred = [cv2.GaussianBlur(photo, (0, 0), 2) for photo in others]
    noisy = [np.clip(photo + random.normal(0, 60, photo.shape), 0, 255).astype(np.uint8) for photo in others]
    return [photos[: 2 * len(others) : 2], others, blurred, noisy]


def compare(real: Array, made: Array) -> Iterator[tuple[str, float, float]]:
    """Yield name, our figure and theirs, for features of two sets of one size."""
    import torch
    from cleanfid.fid import frechet_distance, kernel_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kernel_poly, mmd2
    from torch_fidelity.metric_prc import prc_features_to_metric

    tensors = [torch.from_numpy(each) for each in (made, real)]
    frechet, kid = distributions.frechet(real, made), distributions.kid(real, made)
    fid = fid_statistics_to_metric(*map(fid_features_to_statistics, tensors), verbose=False)
    yield "Fréchet, torch-fidelity", frechet, fid["frechet_inception_distance"]
    moments = [part for each in (real, made) for part in (each.mean(axis=0), np.cov(each, rowvar=False))]
    yield "Fréchet, clean-fid", frechet, float(frechet_distance(*moments))
    cubic = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}
    kernels = (kernel_poly(*pair, **cubic) for pair in ((real, real), (real, made), (made, made)))
    yield "KID, torch-fidelity", kid, float(mmd2(*kernels))
    yield "KID, clean-fid", kid, kernel_distance(real, made, num_subsets=1)  # a subset of all
    options = {"prc_neighborhood": 3, "prc_batch_size": 10000, "save_cpu_ram": False, "verbose": False}
    theirs = prc_features_to_metric(*tensors, **options)
    precision, recall = distributions.precision_recall(real, made)
    yield "precision, torch-fidelity", precision, theirs["precision"]
    yield "recall, torch-fidelity", recall, theirs["recall"]


def clean_fid_features(photos: list[Array]) -> Array:
    """Return the features that clean-fid computes, (N, 2048), from the same published network in a file as it wants."""
    import torch
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        torch.jit.load(weights.find("inception")).net.save(Path(folder, "inception-2015-12-05.pt"))
        network, resize = InceptionV3W(folder, download=False), build_resizer("clean")
        rows = [network(torch.from_numpy(resize(one)).permute(2, 0, 1)[None].float()) for one in photos]
    return torch.cat(rows).double().numpy()


def compare_resizing(photo: Array) -> Iterator[tuple[str, float]]:
    """Yield the name of a mode and the largest difference to clean-fid's resizing to Inception's 299 px."""
    from cleanfid.resize import build_resizer

    for mode, theirs in (("clean", "clean"), ("legacy", "legacy_pytorch")):
        made = _RESIZERS[mode](photo, 299).transpose(1, 2, 0)
        yield mode, float(np.abs(made - build_resizer(theirs)(photo)).max())


if __name__ == "__main__":
    main()
