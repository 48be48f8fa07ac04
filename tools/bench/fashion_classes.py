"""Does a GAN on Fashion-MNIST make all ten classes? A small classifier counts them in its samples.

The classifier is trained on the real training pictures, and scored on the real test pictures first. Labels are in
the file names that datasets/fashion_mnist.py gives.

    python tools/bench/fashion_classes.py data/fashion runs/fashion [runs/another ...]

Prints, for each model, the share of each class among 2,000 samples (seeds 0 to 1,999), and the total variation: half
the sum of the absolute differences from the shares in the training set.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.images import read_image, to_unit
from i2i.runtime.generator import ImageGenerator

SAMPLES, EPOCHS, BATCH = 2000, 2, 128


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 32, 32) in [-1, 1] and labels (N,)."""
    files = sorted(folder.glob("*.png"))
    pictures = np.stack([to_unit(read_image(file)) for file in files])
    return torch.from_numpy(pictures), torch.tensor([int(file.stem.rsplit("_")[-1]) for file in files])


def train_classifier(pictures: Tensor, labels: Tensor) -> nn.Module:
    """Return a small convolutional network, trained on images (N, 1, 32, 32) in [-1, 1]."""
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(network(pictures[part]), labels[part]).backward()
            optimizer.step()
    return network.eval()


def classify(network: nn.Module, pictures: Tensor) -> Tensor:
    """Return the class of each image, (N,)."""
    with torch.inference_mode():
        return torch.cat([network(part).argmax(1) for part in pictures.split(1000)])


def main(data: Path, models: list[Path]) -> None:
    """Train the classifier, score it on the real test pictures, and count the classes of each model."""
    pictures, labels = read(data / "train")
    network = train_classifier(pictures, labels)
    test, truth = read(data / "test")
    print(f"classifier: {float((classify(network, test) == truth).float().mean()):.1%} of the real test pictures")
    real = torch.bincount(labels, minlength=10) / len(labels)
    for model in models:
        generator = ImageGenerator.open(model, "cpu")
        fakes = torch.from_numpy(generator.generate(generator.draw(range(SAMPLES))))
        shares = torch.bincount(classify(network, fakes), minlength=10) / SAMPLES
        distance = float((shares - real).abs().sum()) / 2
        shown = " ".join(f"{share:.3f}" for share in shares.tolist())
        print(f"{model}: {int((shares > 0).sum())} classes, total variation {distance:.3f}, shares {shown}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]])
