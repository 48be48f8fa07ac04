"""The linear probe of tools/bench/probe.py: what it must find, and what it must not."""

import numpy as np
import pytest
import torch

from i2i.images import write_image
from i2i.networks import MLPDiscriminator
from tests.conftest import ROOT, load_script

probe = load_script(ROOT / "tools" / "bench" / "probe.py")


def test_classes_that_are_there_are_found_and_made_up_ones_are_not():
    random = np.random.default_rng(0)
    classes = random.integers(10, size=600)
    features = np.eye(10)[classes] + 0.1 * random.standard_normal((600, 10))
    known, new = slice(0, 400), slice(400, None)
    assert probe.probe(features[known], classes[known], features[new], classes[new]) > 0.95
    shuffled = random.permutation(classes[known])
    assert probe.probe(features[known], shuffled, features[new], classes[new]) < 0.3


def test_digits_are_read_small(tmp_path):
    """Of 32 px, each pixel is the mean of 4 x 4."""
    image = np.zeros((32, 32, 1), np.uint8)
    image[:4, 4:8] = 255
    image[28:30, :4] = 255
    write_image(tmp_path / "train" / "a.png", image)
    (tmp_path / "train.csv").write_text("name,label\na.png,7\n", encoding="utf-8")
    images, classes = probe.load(tmp_path, "train")
    assert classes.tolist() == [7]
    assert images.view(8, 8)[[0, 0, 7], [0, 1, 0]].tolist() == pytest.approx([-1, 1, 0])


def test_the_discriminator_learns_without_labels():
    """Its features move with the images that it is shown."""
    features = []
    for shift in (-0.5, -0.5, 0.5):
        torch.manual_seed(0)
        judge, images = MLPDiscriminator(64), torch.rand(100, 64) + shift
        probe.learn(judge, images, 3)
        with torch.no_grad():
            features.append(judge(torch.ones(1, 64)).features[-1])
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])
