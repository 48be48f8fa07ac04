"""Context encoders against the paper's equations written out anew, through the engine's own step."""

import copy

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch.nn import functional as F

import i2i
from i2i.algorithms.context_encoder import ContextEncoder
from i2i.config.derive import CentreMask
from i2i.data.derive import derive
from i2i.errors import ConfigError
from i2i.networks import UNet
from i2i.training.engine import Engine
from tests.conftest import LINEART, ROOT, load_script, picture, smallest_config

RATES = (2e-3, 2e-4)


def images(step, px=32, count=2):
    """Masked inputs and targets in [-1, 1], from real pictures."""
    targets = [picture(px, px, seed=count * step + k) for k in range(count)]
    sides = ([derive(one, CentreMask(), 0) for one in targets], targets)
    a, b = (torch.from_numpy(np.stack(side)).permute(0, 3, 1, 2).double() / 127.5 - 1 for side in sides)
    return {"a": a, "b": b}


class Reference:
    """The two players written out, with only the networks' layers taken from i2i; the hole is the middle."""

    def __init__(self, algorithm, band, factor, judged, px=32):
        inner = UNet(4, 3, depth=4, width=2, dropout=0, upsample="resize")
        inner.load_state_dict(algorithm.networks["generator"].state_dict())
        self.generator, self.discriminator = inner.double(), copy.deepcopy(algorithm.networks["discriminator"]).double()
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))
            for network, rate in zip((self.generator, self.discriminator), RATES, strict=True)
        ]
        lo, hi = px // 4, px - px // 4
        self.hole = torch.zeros(1, 1, px, px, dtype=torch.float64)
        self.hole[:, :, lo:hi, lo:hi] = 1
        self.weight = factor * self.hole
        self.seen = self.hole if judged == "hole" else 1
        self.weight[:, :, lo + band : hi - band, lo + band : hi - band] = 1

    def fill(self, x):
        masked = torch.cat([x * (1 - self.hole), (1 - 2 * self.hole).expand(len(x), -1, -1, -1)], 1)
        return torch.where(self.hole > 0, self.generator(masked), x)

    def step(self, x):
        fake = self.fill(x)
        real_term = F.softplus(-self.discriminator(self.seen * x).logits).mean()
        fake_term = F.softplus(self.discriminator(self.seen * fake.detach()).logits).mean()
        self._descend(1, real_term + fake_term)
        l2 = (self.weight * (fake - x) ** 2).sum() / (len(x) * 3 * self.hole.sum())
        gan = F.softplus(-self.discriminator(self.seen * fake).logits).mean()
        self._descend(0, 0.999 * l2 + 0.001 * gan)
        return {"D_real": real_term, "D_fake": fake_term, "G_L2": l2, "G_GAN": gan}

    def _descend(self, player, loss):
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[player].step()


@pytest.mark.parametrize(
    ("band", "factor", "judged"), [(4, 10, "hole"), (4, 10, "picture"), (0, 10, "hole"), (3, 1, "hole")]
)
def test_four_training_steps_equal_an_independent_implementation_in_float64(float64, band, factor, judged):
    config = smallest_config(
        "context_encoder",
        ".",
        *("data.crop_px=32", "data.resize_px=32", "train.batch=2"),
        *(f"loss.overlap_px={band}", f"loss.overlap_weight={factor}", f"loss.judged={judged}"),
    )
    assert (config.optimizer.lr, config.optimizer.lr_discriminator) == RATES
    torch.manual_seed(0)
    algorithm = ContextEncoder(config)
    reference = Reference(algorithm, band, factor, judged)
    engine = Engine(Fabric(accelerator="cpu", precision="64-true"), algorithm)
    for step in range(4):
        batch = images(step)
        terms, expected = engine.train_step(batch), reference.step(batch["b"])
        for name, value in expected.items():
            assert float(terms[name]) == pytest.approx(value.item(), rel=1e-9), (step, name)
    with torch.no_grad():
        output = engine.networks["generator"].eval()(images(0)["a"])
        reference.generator.eval()
        torch.testing.assert_close(output, reference.fill(images(0)["b"]), rtol=0, atol=1e-9)


def test_the_joint_loss_has_the_papers_weights():
    algorithm = ContextEncoder(smallest_config("context_encoder", "."))
    assert algorithm.weights()["G_L2"] == 0.999
    assert algorithm.weights()["G_GAN"] == 0.001


def test_holes_of_every_size_count_alike():
    """Reconstruction is averaged over each picture's own hole; a picture without a hole teaches nothing."""
    algorithm = ContextEncoder(smallest_config("context_encoder", ".", "loss.overlap_px=0"))
    x, fake = torch.zeros(3, 3, 16, 16), torch.full((3, 3, 16, 16), 0.5)
    a = torch.ones(3, 4, 16, 16)
    a[0, 3, 4:6, 4:6] = -1
    a[1, 3, 2:14, 2:14] = -1
    each = [
        algorithm.losses("generator", {"a": a[k : k + 1], "b": x[k : k + 1]}, {"fake": fake[k : k + 1]})["G_L2"]
        for k in range(3)
    ]
    assert [float(one) for one in each] == [0.25, 0.25, 0.0]


def test_the_discriminator_sees_nothing_but_the_hole():
    """The control sees the surroundings."""
    batch = images(0)
    batch = {name: one.float() for name, one in batch.items()}
    outputs = {"fake": torch.rand_like(batch["b"])}
    hole = (batch["a"][:, 3:] < 0).expand_as(batch["b"])
    for judged, empty in (("hole", True), ("picture", False)):
        algorithm = ContextEncoder(smallest_config("context_encoder", ".", f"loss.judged={judged}"))
        shown = algorithm.shown(batch, outputs)["D"]
        for one, whole in ((shown.real, batch["b"]), (shown.fake, outputs["fake"])):
            assert torch.equal(one[hole], whole[hole])
            assert (not one[~hole].any()) == empty


@pytest.mark.parametrize("changes", [["data.derive=null"], ["data.derive.name=blur", "data.channels_a=3"]])
def test_only_holes_can_be_filled(changes):
    with pytest.raises(ConfigError, match=r"data\.derive\.name"):
        ContextEncoder(smallest_config("context_encoder", ".", *changes))


@pytest.mark.slow
def test_holes_of_emoji_are_filled_better_than_without_training(tmp_path):
    """On the test split, from file to file; controls: the network untrained, and another picture's surroundings."""
    short = ["schedule.images=2400", "schedule.decay_images=1200", "log.samples_every_images=2400"]
    i2i.train(i2i.load_config("inpaint_emoji", [f"data.path={LINEART}", "train.device=cpu", *short]), tmp_path / "run")
    script = load_script(ROOT / "tools" / "bench" / "inpainting.py")
    scores, _ = script.measure(tmp_path / "run")  # raises if anything outside a hole differs
    print(*(f"{one.mean:6.2f} {one.pooled:6.2f} {name}" for name, one in scores.items()), sep="\n")
    model = scores.pop("model")
    scores.pop("diffusion")  # which takes the whole schedule to beat: see docs/benchmarks.md
    assert model.pooled > max(one.pooled for one in scores.values()) + 1
    assert model.mean > max(one.mean for one in scores.values())
    for name, control in scores.items():
        if name.startswith("control"):
            assert control.mean < min(model.mean - 3, scores["mean training picture"].mean)
