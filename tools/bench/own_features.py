"""Compare a perceptual term on features of our own with random ones: both from the same four convolutions.

    OMP_NUM_THREADS=1 python tools/bench/own_features.py OUT --seeds 0 1

First, the convolutions of `loss.terms.random_features` learn to tell the shipped training pictures apart, without
labels: two distorted views of a picture shall be more alike than those of any other in the batch (Chen et al. 2020,
"A simple framework for contrastive learning", eq. 1). Then `ablation.py` trains `modern` with both kinds of features.
"""

import argparse
import math
import time
from pathlib import Path

import ablation
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.algorithms.terms import FROZEN
from i2i.data.folders import find_sides
from i2i.data.items import read_picture
from i2i.networks.trunk import RandomFeatures

FOLDERS = ("datasets/lineart", "datasets/maps")
SIDE_PX, BATCH, TEMPERATURE, RATE = 64, 96, 0.2, 1e-3
CASE, ROW = "line art to colour", "modern + random features"


class OwnFeatures(RandomFeatures):
    """The trained convolutions, each layer scaled so that pictures differ in it as much as in the random one."""

    def __init__(self, trained: dict[str, Tensor], scales: list[float]):
        super().__init__()
        self.load_state_dict(trained)
        self.scales = scales

    def forward(self, x: Tensor) -> list[Tensor]:
        """RGB images (N, 3, H, W) in [0, 1] to four layers."""
        return [scale * layer for scale, layer in zip(self.scales, super().forward(x), strict=True)]


def main() -> None:
    """Train the features, then the rows with and without them, and print a table."""
    parser = argparse.ArgumentParser(description="Compare a perceptual term on features of our own with random ones.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="Processor time of each training.")
    parser.add_argument("--feature-seconds", type=float, default=200.0, help="Processor time of the features' own.")
    parser.add_argument("--weights", nargs="+", type=float, default=[50.0, 150.0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = crops()
    network = train(pictures, options.feature_seconds)
    own = OwnFeatures(network.state_dict(), scales(network, pictures))
    work = ["--case", CASE, "--seconds", str(options.seconds), "--seeds", *map(str, options.seeds)]
    ablation.work(ablation.make_parser().parse_args([str(options.out), *work, "--rows", "modern", ROW]))
    FROZEN["random"] = lambda: own
    for weight in options.weights:
        row = ["--rows", ROW, "--set", f"loss.terms.random_features={weight}", "--as", f"modern + own {weight:g}"]
        ablation.work(ablation.make_parser().parse_args([str(options.out), *work, *row]))
    print("\n".join(ablation.table(ablation.results(options.out), "val")))


def crops() -> Tensor:
    """Return the training pictures of both sides as squares, (N, 3, 64, 64) in [0, 1]."""
    found = []
    for folder in FOLDERS:
        for file in [file for side in find_sides([folder], "train") for file in side]:
            pixels = torch.from_numpy(np.ascontiguousarray(read_picture(file)[..., :3])).permute(2, 0, 1)
            image = (pixels.float() / 255).expand(3, -1, -1)
            found += [*image.unfold(1, SIDE_PX, SIDE_PX).unfold(2, SIDE_PX, SIDE_PX).flatten(1, 2).unbind(1)]
    return torch.stack(found)


def train(pictures: Tensor, seconds: float) -> RandomFeatures:
    """Return convolutions that tell the pictures apart."""
    torch.manual_seed(0)
    network = RandomFeatures().requires_grad_(True)
    widths = sum(layer.out_channels for layer in network.convolutions if isinstance(layer, nn.Conv2d))
    head = nn.Sequential(nn.Linear(widths, 128), nn.ReLU(), nn.Linear(128, 64))
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=RATE)
    begun, wanted = time.process_time(), torch.arange(2 * BATCH).roll(BATCH)
    while (share := (time.process_time() - begun) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 - 2 * share)
        drawn = pictures[torch.randint(len(pictures), (BATCH,))]
        layers = network(torch.cat([distorted(drawn), distorted(drawn)]))
        vectors = F.normalize(head(torch.cat([layer.mean(dim=(2, 3)) for layer in layers], dim=1)), dim=1)
        alike = (vectors @ vectors.t() / TEMPERATURE).fill_diagonal_(-math.inf)
        loss = F.cross_entropy(alike, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (alike.argmax(dim=1) == wanted).float().mean()
    print(
        f"In the last batch, {right:.0%} of {2 * BATCH} views are most like the other view of their picture.",
        flush=True,
    )
    return network.requires_grad_(False)


def distorted(images: Tensor) -> Tensor:
    """Return each image cropped, mirrored, recoloured, greyed, blurred or noisy, as chance has it."""
    count = len(images)
    views = []
    for image in images:
        side = int(torch.randint(SIDE_PX * 9 // 16, SIDE_PX + 1, ()))
        top, left = torch.randint(SIDE_PX - side + 1, (2,)).tolist()
        crop = image[None, :, top : top + side, left : left + side]
        views.append(F.interpolate(crop, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False))
    x = torch.cat(views)
    x = torch.where(chosen(count, 0.5), x.flip(3), x)
    x = (x - 0.5) * (0.6 + 0.8 * torch.rand(count, 3, 1, 1)) + 0.5 + 0.3 * (torch.rand(count, 3, 1, 1) - 0.5)
    x = torch.where(chosen(count, 0.2), x.mean(dim=1, keepdim=True), x)
    x = torch.where(chosen(count, 0.3), F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1), x)
    return (x + 0.05 * torch.rand(count, 1, 1, 1) * torch.randn_like(x)).clamp(0, 1)


def chosen(count: int, share: float) -> Tensor:
    """Draw a share of `count` images: (N, 1, 1, 1) bool."""
    return torch.rand(count, 1, 1, 1) < share


def scales(network: RandomFeatures, pictures: Tensor) -> list[float]:
    """Return by how much the differences of pictures in random layers exceed those in the network's, layer by layer."""
    drawn = pictures[torch.randint(len(pictures), (256,))]
    pairs = zip(RandomFeatures()(drawn), network(drawn), strict=True)
    return [float(spread(random) / spread(own)) for random, own in pairs]


def spread(layer: Tensor) -> Tensor:
    """Return how far the first half of a batch is from the second, on average."""
    first, second = layer.chunk(2)
    return (first - second).abs().mean()


if __name__ == "__main__":
    main()
