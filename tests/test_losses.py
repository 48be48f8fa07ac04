"""Losses by values computed by hand."""

import math

import numpy as np
import pytest
import torch

from i2i import losses, metrics, similarity
from tests.conftest import picture

REAL = torch.tensor([[0.0, 2.0]])
FAKE = torch.tensor([[0.0, -1.0]])


def test_non_saturating():
    # -log sigmoid(0) = log 2; -log sigmoid(2) = log(1 + e^-2); -log(1 - sigmoid(x)) = log(1 + e^x)
    real, fake = losses.ADVERSARIAL["non_saturating"].d(REAL, FAKE)
    assert float(real) == pytest.approx((math.log(2) + math.log1p(math.exp(-2))) / 2)
    assert float(fake) == pytest.approx((math.log(2) + math.log1p(math.exp(-1))) / 2)
    # -log sigmoid(-1) = log(1 + e)
    generator = losses.ADVERSARIAL["non_saturating"].g(REAL, FAKE)
    assert float(generator) == pytest.approx((math.log(2) + math.log1p(math.e)) / 2)


def test_least_squares():
    real, fake = losses.ADVERSARIAL["least_squares"].d(REAL, FAKE)
    assert float(real) == pytest.approx((1 + 1) / 2)  # (0 - 1)^2, (2 - 1)^2
    assert float(fake) == pytest.approx((0 + 1) / 2)  # 0^2, (-1)^2
    assert float(losses.ADVERSARIAL["least_squares"].g(None, FAKE)) == pytest.approx((1 + 4) / 2)


def test_minimax():
    # D's terms are those of non_saturating; G descends log(1 - sigmoid(x)) = -log(1 + e^x)
    assert losses.ADVERSARIAL["minimax"].d is losses.ADVERSARIAL["non_saturating"].d
    generator = losses.ADVERSARIAL["minimax"].g(REAL, FAKE)
    assert float(generator) == pytest.approx(-(math.log(2) + math.log1p(math.exp(-1))) / 2)


def test_the_minimax_gradient_vanishes_where_d_is_sure_and_the_other_does_not():
    gradients = {}
    for name in ("minimax", "non_saturating"):
        fake = torch.tensor([-12.0], requires_grad=True)
        losses.ADVERSARIAL[name].g(None, fake).backward()
        gradients[name] = float(fake.grad.abs())
    assert gradients["minimax"] == pytest.approx(1 / (1 + math.exp(12)), rel=1e-5)  # sigmoid(-12)
    assert gradients["non_saturating"] == pytest.approx(1 / (1 + math.exp(-12)), rel=1e-5)  # sigmoid(12)


def test_losses_toward_labels():
    """Logit 2 toward 0.9: log(1 + e^2) - 0.9 * 2, or (2 - 0.9)^2; its gradients sigmoid(2) - 0.9 and 2 * (2 - 0.9)."""
    found = {}
    for name in ("minimax", "non_saturating", "least_squares"):
        logit = torch.tensor([2.0], requires_grad=True)
        value = losses.ADVERSARIAL[name].toward(logit, torch.tensor([0.9]))
        value.backward()
        found[name] = (float(value.detach()), float(logit.grad))
    entropy = (math.log1p(math.exp(2)) - 0.9 * 2, 1 / (1 + math.exp(-2)) - 0.9)
    assert found["minimax"] == found["non_saturating"] == pytest.approx(entropy, rel=1e-5)
    assert found["least_squares"] == pytest.approx((1.1**2, 2.2))


@pytest.mark.parametrize("name", [name for name, loss in losses.ADVERSARIAL.items() if loss.toward])
def test_whole_labels_are_the_loss_itself(name):
    loss = losses.ADVERSARIAL[name]
    real, fake = loss.d(REAL, FAKE)
    assert (real, fake) == (loss.toward(REAL, torch.ones(1, 2)), loss.toward(FAKE, torch.zeros(1, 2)))


def test_hinge():
    real, fake = losses.ADVERSARIAL["hinge"].d(REAL, FAKE)
    assert float(real) == pytest.approx((1 + 0) / 2)  # max(0, 1 - 0), max(0, 1 - 2)
    assert float(fake) == pytest.approx((1 + 0) / 2)  # max(0, 1 + 0), max(0, 1 - 1)
    assert float(losses.ADVERSARIAL["hinge"].g(None, FAKE)) == pytest.approx(0.5)  # -(0 - 1) / 2


def test_wasserstein():
    real, fake = losses.ADVERSARIAL["wasserstein"].d(REAL, FAKE)
    assert (float(real), float(fake)) == (-1.0, -0.5)
    assert float(losses.ADVERSARIAL["wasserstein"].g(None, FAKE)) == 0.5


def test_relativistic():
    """softplus(0) = log 2 of the pair (0, 0); of (2, -1), 3 apart, log(1 + e^-3) for D and log(1 + e^3) for G."""
    real, fake = losses.ADVERSARIAL["relativistic"].d(REAL, FAKE)
    assert float(real + fake) == pytest.approx((math.log(2) + math.log1p(math.exp(-3))) / 2)
    assert float(real) == float(fake)
    generator = losses.ADVERSARIAL["relativistic"].g(REAL, FAKE)
    assert float(generator) == pytest.approx((math.log(2) + math.log1p(math.exp(3))) / 2)


def test_the_relativistic_gradient_depends_on_the_difference_alone():
    """D's gradient with respect to D(fake) is sigmoid(fake - real), with respect to D(real) its negative."""
    gradients = {}
    for shift in (0.0, 50.0):
        real, fake = (torch.tensor([value + shift], requires_grad=True) for value in (2.0, -1.0))
        sum(losses.ADVERSARIAL["relativistic"].d(real, fake)).backward()
        gradients[shift] = (float(real.grad), float(fake.grad))
    assert gradients[0.0] == pytest.approx((-1 / (1 + math.exp(3)), 1 / (1 + math.exp(3))))
    assert gradients[50.0] == pytest.approx(gradients[0.0], rel=1e-4)
    fake = torch.tensor([-1.0], requires_grad=True)
    losses.ADVERSARIAL["relativistic"].g(torch.tensor([2.0]), fake).backward()
    assert float(fake.grad) == pytest.approx(-1 / (1 + math.exp(-3)))  # -sigmoid(2 + 1)


def test_margin():
    """Energies 1 and 3 of reals; of the fakes, 4 is 6 below the margin of 10, and 12 above it, where no gradient is."""
    real, fake = torch.tensor([-1.0, -3.0]), torch.tensor([-4.0, -12.0], requires_grad=True)
    terms = losses.ADVERSARIAL["margin"].d(real, fake)
    assert [float(term.detach()) for term in terms] == [(1 + 3) / 2, (6 + 0) / 2]
    terms[1].backward()
    assert fake.grad.tolist() == [1 / 2, 0]
    assert float(losses.margin_d(real, fake, margin=5.0)[1].detach()) == (1 + 0) / 2
    energy = losses.ADVERSARIAL["margin"].g(None, fake)
    assert float(energy.detach()) == (4 + 12) / 2
    (gradient,) = torch.autograd.grad(energy, fake)
    assert gradient.tolist() == [-1 / 2, -1 / 2]  # also beyond the margin


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


CROSS_ENTROPY = ([-sigmoid(0) / 2, -sigmoid(-2) / 2], [sigmoid(0.5) / 2, sigmoid(-3) / 2])
GRADIENTS = {  # by D's reals and fakes, and by G's fakes; means over two logits
    "minimax": (*CROSS_ENTROPY, [-sigmoid(0.5) / 2, -sigmoid(-3) / 2]),
    "non_saturating": (*CROSS_ENTROPY, [-sigmoid(-0.5) / 2, -sigmoid(3) / 2]),
    "least_squares": ([-1, 1], [0.5, -3], [-0.5, -4]),
    "hinge": ([-0.5, 0], [0.5, 0], [-0.5, -0.5]),  # 2 is above 1, and -3 below -1
    "wasserstein": ([-0.5, -0.5], [0.5, 0.5], [-0.5, -0.5]),
    "relativistic": (
        [-sigmoid(0.5) / 2, -sigmoid(-5) / 2],
        [sigmoid(0.5) / 2, sigmoid(-5) / 2],
        [-sigmoid(-0.5) / 2, -sigmoid(5) / 2],
    ),
    "margin": ([-0.5, -0.5], [0.5, 0.5], [-0.5, -0.5]),  # energies below the margin of 10
}


@pytest.mark.parametrize("name", list(losses.ADVERSARIAL))
def test_gradients_of_adversarial_losses(name):
    """At the reals 0 and 2 and the fakes 0.5 and -3."""
    loss = losses.ADVERSARIAL[name]
    real, fake = (torch.tensor(logits, requires_grad=True) for logits in ([0.0, 2.0], [0.5, -3.0]))
    found = [*torch.autograd.grad(sum(loss.d(real, fake)), [real, fake])]
    found += torch.autograd.grad(loss.g(real.detach() if loss.is_relative else None, fake), [fake])
    for gradient, wanted in zip(found, GRADIENTS[name], strict=True):
        assert gradient.tolist() == pytest.approx(wanted, rel=1e-5)


def test_pulling_away():
    """Angles of (1, 0), (0, 2) and (1, 1): squared cosines 0, 1/2 and 1/2, whatever the lengths; of all alike, 1."""
    codes = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    assert float(losses.pulling_away(codes)) == pytest.approx((0 + 1 / 2 + 1 / 2) / 3)
    assert float(losses.pulling_away(-3 * codes.view(3, 2, 1, 1))) == pytest.approx(1 / 3)
    assert float(losses.pulling_away(codes[[0, 0, 0]])) == pytest.approx(1)
    assert float(losses.pulling_away(codes[:1])) == 0
    angle = torch.tensor(math.pi / 3, requires_grad=True)
    pair = torch.stack([torch.tensor([2.0, 0.0]), torch.stack([angle.cos(), angle.sin()])])
    losses.pulling_away(pair).backward()
    assert float(angle.grad) == pytest.approx(-math.sin(2 * math.pi / 3))  # of cos^2


def test_drift():
    logits = torch.tensor([1.0, -3.0], requires_grad=True)
    value = losses.drift(logits)
    assert float(value.detach()) == (1 + 9) / 2
    value.backward()
    assert logits.grad.tolist() == [1.0, -3.0]  # 2 * logit / 2


def test_penalties_of_a_linear_discriminator():
    """D(x) = 3 x1 + 4 x2 has the gradient (3, 4), of norm 5, wherever it is taken."""
    slope = torch.tensor([3.0, 4.0], requires_grad=True)
    real, fake = torch.rand(6, 2), torch.rand(6, 2)
    values = {name: penalty(lambda x: x @ slope[:, None], real, fake) for name, penalty in losses.PENALTIES.items()}
    assert {name: float(value.detach()) for name, value in values.items()} == pytest.approx(
        {"gradient": (5 - 1) ** 2, "r1": 25 / 2, "r2": 25 / 2, "zero_centred": 25 / 2 + 25 / 2}
    )
    # By the slope s: 2 (|s| - 1) s / |s|, s, s and 2 s.
    gradients = {name: torch.autograd.grad(value, slope)[0].tolist() for name, value in values.items()}
    for name, wanted in {"gradient": [4.8, 6.4], "r1": [3, 4], "r2": [3, 4], "zero_centred": [6, 8]}.items():
        assert gradients[name] == pytest.approx(wanted), name


def test_penalties_are_taken_where_they_say():
    """D(x) = x^2 has the slope 2x: R1 sees the reals, R2 the fakes, the gradient penalty what lies between."""
    real, fake = torch.full((4, 1), 1.0), torch.full((4, 1), 3.0)

    def squares(x):
        return x.square()

    assert float(losses.PENALTIES["r1"](squares, real, fake).detach()) == pytest.approx(2**2 / 2)
    assert float(losses.PENALTIES["r2"](squares, real, fake).detach()) == pytest.approx(6**2 / 2)
    assert float(losses.PENALTIES["zero_centred"](squares, real, fake).detach()) == pytest.approx((2**2 + 6**2) / 2)
    between = float(losses.PENALTIES["gradient"](squares, real, fake).detach())
    assert (2 - 1) ** 2 < between < (6 - 1) ** 2


def test_penalties_see_the_mean_of_patches():
    """Patches are averaged by the losses, so the penalised function is that mean: two equal ones count as one."""
    real = torch.rand(3, 2)

    def one(x):
        return x.sum(1, keepdim=True)

    def two(x):
        return one(x).expand(-1, 2)

    assert torch.equal(losses.r1(one, real, real), losses.r1(two, real, real))


def test_l1():
    assert float(losses.l1(torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.5, -1.0, -1.0]))) == pytest.approx(2.5 / 3)


def test_l2():
    assert float(losses.l2(torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.5, -1.0, -1.0]))) == pytest.approx(4.25 / 3)


def test_gradient():
    """Steps of [[0, 1], [0, -1]]: down 0 and 2, across 1 and 1; the negative has the same sizes, zeros have none."""
    one = torch.tensor([[[[0.0, 1.0], [0.0, -1.0]]]])
    assert float(similarity.gradient(one, torch.zeros_like(one))) == (0 + 2) / 2 + (1 + 1) / 2
    assert float(similarity.gradient(one, -one)) == 0
    assert float(similarity.gradient(one, one + 0.5)) == 0


def test_feature_matching():
    """Means of the layers' absolute differences, |1 - 0| and (|2 - 1| + |5 - 2|) / 2, and of both layers."""
    found = [torch.tensor([[[[1.0]]]]), torch.tensor([[[[2.0, 5.0]]]])]
    wanted = [torch.tensor([[[[0.0]]]]), torch.tensor([[[[1.0, 2.0]]]])]
    assert float(losses.feature_matching(found, wanted)) == pytest.approx((1 + 2) / 2)


def test_lpips():
    """Features (3, 4) and (4, 3) are (.6, .8) and (.8, .6) as unit vectors; (0, 5) and (5, 0) are at right angles."""
    found = [torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([0.0, 5.0]).view(1, 2, 1, 1)]
    wanted = [torch.tensor([4.0, 3.0]).view(1, 2, 1, 1), torch.tensor([5.0, 0.0]).view(1, 2, 1, 1)]
    heads = [torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.25])]
    value = losses.lpips(found, wanted, heads)
    assert float(value) == pytest.approx((1 * 0.2**2 + 2 * 0.2**2) + (0.5 * 1 + 0.25 * 1))
    assert float(losses.lpips(found, [3 * one for one in found], heads)) == pytest.approx(0, abs=1e-12)
    dead = torch.zeros(1, 2, 1, 1, requires_grad=True)
    losses.lpips([dead], wanted[:1], heads[:1]).backward()
    assert dead.grad.isfinite().all()


def test_ssim_of_flat_images_and_of_an_image_and_its_negative():
    """Flat ones differ in brightness alone, (2 a b + C1) / (a^2 + b^2 + C1); a negative has covariance -variance."""
    half, dark = torch.full((1, 1, 11, 11), 0.5), torch.full((1, 1, 11, 11), -0.25)
    c1, c2 = 0.02**2, 0.06**2
    expected = (2 * 0.5 * -0.25 + c1) / (0.5**2 + 0.25**2 + c1)
    assert float(similarity.ssim(half, dark)) == pytest.approx(1 - expected, rel=1e-4)
    assert float(similarity.structure(half, dark)) == pytest.approx(0, abs=1e-4)
    torch.manual_seed(0)
    grain = torch.rand(1, 1, 11, 11) * 2 - 1
    window = torch.softmax(-torch.arange(-5.0, 6.0).square() / 4.5, 0)
    window = torch.outer(window, window)
    variance = float((window * grain.square()).sum() - (window * grain).sum() ** 2)
    assert float(similarity.structure(grain, -grain)) == pytest.approx(
        1 - (-2 * variance + c2) / (2 * variance + c2), rel=1e-3
    )


def test_ssim_is_that_of_the_metric():
    one, other = (picture(40, 33, seed=k) for k in (0, 1))
    tensors = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1 for image in (one, other)]
    # The metric is of values from 0 to 255, whose mean counts in the luminance: compared at values from 0 up.
    up = [(tensor + 1) / 2 for tensor in tensors]
    luminance, structure = similarity._similarities(*(2 * tensor for tensor in up))
    assert float((luminance * structure).mean()) == pytest.approx(metrics.ssim(one, other), abs=1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (37, 52), (16, 16)])
def test_nlpd_is_the_authors_algorithm(shape):
    """Laparra et al. 2016, written out for one channel with numpy: pyramid by inserted zeros, then the division."""
    random = np.random.default_rng(0)
    one, other = random.random((2, *shape))
    line = np.array([0.05, 0.25, 0.4, 0.25, 0.05])
    kernel = np.outer(line, line)
    neighbours = [
        [(-1, 0, 0.1011), (0, -1, 0.1493), (0, 1, 0.1460), (0, 2, 0.0072), (1, 0, 0.1015)],
        [(-1, 0, 0.0757), (0, -1, 0.1986), (0, 1, 0.1846), (1, 0, 0.0837)],
        [(-1, 0, 0.0477), (0, -1, 0.2138), (0, 1, 0.2243), (1, 0, 0.0467)],
        [(0, -1, 0.2503), (0, 1, 0.2616)],
        [(0, -1, 0.2598), (0, 1, 0.2552)],
        [(0, -1, 0.2215), (0, 1, 0.0717)],
    ]
    sigmas = [0.0248, 0.0185, 0.0179, 0.0191, 0.0220, 0.2782]
    count = min(6, int(math.log2(min(shape))))

    def filtered(image):  # of an image that is already continued by two pixels
        height, width = image.shape[0] - 4, image.shape[1] - 4
        windows = (image[y : y + height, x : x + width] * kernel[y, x] for y in range(5) for x in range(5))
        return sum(windows)

    def levels(image):
        for level in range(count - 1):
            small = filtered(np.pad(image, 2, mode="symmetric"))[::2, ::2]
            padded = np.pad(small, 1, mode="edge")
            zeros = np.zeros((2 * padded.shape[0], 2 * padded.shape[1]))
            zeros[::2, ::2] = 4 * padded
            large = filtered(np.pad(zeros, 2))[2 : 2 + image.shape[0], 2 : 2 + image.shape[1]]
            yield divided(image - large, level)
            image = small
        yield divided(image, 5)

    def divided(band, level):
        around = np.pad(np.abs(band), 2)
        height, width = band.shape
        total = sum(  # a convolution, not a correlation: what is written on the left weights the pixel on the right
            weight * around[2 - y : 2 - y + height, 2 - x : 2 - x + width] for y, x, weight in neighbours[level]
        )
        return band / (sigmas[level] + total)

    expected = np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(levels(one), levels(other), strict=True)])
    tensors = [torch.from_numpy(2 * image - 1)[None, None] for image in (one, other)]
    assert float(similarity.nlpd(*tensors)) == pytest.approx(expected, rel=1e-6)
    assert float(similarity.nlpd(tensors[0], tensors[0])) < 1e-5


def test_nlpd_takes_each_image_and_channel_by_itself():
    torch.manual_seed(0)
    one, other = (torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1 for _ in range(2))
    assert float(similarity.nlpd(one, other)) == pytest.approx(
        sum(float(similarity.nlpd(a[None], b[None])) for a, b in zip(one, other, strict=True)) / 2
    )
    grey = similarity.nlpd(one[:, :1], other[:, :1])
    assert float(similarity.nlpd(*(x[:, :1].expand(-1, 3, -1, -1) for x in (one, other)))) == pytest.approx(float(grey))


@pytest.mark.parametrize("name", list(losses.ADVERSARIAL))
def test_every_pair_pulls_the_right_way(name):
    pair = losses.ADVERSARIAL[name]
    real, fake = (torch.full((2, 1), 0.5, requires_grad=True) for _ in range(2))
    sum(pair.d(real, fake)).backward()
    assert (real.grad < 0).all()  # descending raises D(real) ...
    assert (fake.grad > 0).all()  # ... and lowers D(fake)
    fake.grad = None
    pair.g(real.detach() if pair.is_relative else None, fake).backward()
    assert (fake.grad < 0).all()


def test_patch_nce():
    """Two queries, two keys at right angles, temperature 0.5: the logits of a query are 2 cos of the angles."""
    keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    queries = torch.tensor([[[0.6, 0.8], [0.0, 1.0]]], requires_grad=True)
    value = losses.patch_nce(queries, keys, temperature=0.5)
    # -log(e^1.2 / (e^1.2 + e^1.6)) = log(1 + e^0.4) and -log(e^2 / (e^0 + e^2)) = log(1 + e^-2)
    first, second = math.log1p(math.exp(0.4)), math.log1p(math.exp(-2))
    assert float(value.detach()) == pytest.approx((first + second) / 2)
    value.backward()
    # By a query: (sum of its shares times keys, less its own key) / temperature / queries; shares are 1/(1 + e^0.4)
    # of its own and the rest of the other.
    own, last = 1 / (1 + math.exp(0.4)), 1 / (1 + math.exp(-2))
    assert queries.grad[0, 0].tolist() == pytest.approx([own - 1, 1 - own])
    assert queries.grad[0, 1].tolist() == pytest.approx([1 - last, last - 1])


def test_patch_nce_tells_patches_of_one_row_apart():
    """Each row has negatives of its own: the mean of rows taken singly, and log P where all keys are the same."""
    torch.manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(3, 5, 4), dim=2) for _ in range(2))
    rows = [float(losses.patch_nce(q[None], k[None], 0.07)) for q, k in zip(queries, keys, strict=True)]
    assert float(losses.patch_nce(queries, keys, 0.07)) == pytest.approx(sum(rows) / 3)
    assert float(losses.patch_nce(queries, keys[:, :1].expand(3, 5, 4), 0.07)) == pytest.approx(math.log(5), rel=1e-5)


def test_patch_nce_leaves_out_what_does_not_count():
    queries, keys = (torch.nn.functional.normalize(torch.randn(2, 5, 4), dim=2).requires_grad_() for _ in range(2))
    counted = torch.tensor([[True, False, True, True, False], [False, True, False, True, False]])
    value = losses.patch_nce(queries, keys, 0.07, counted)
    rows = zip(queries, keys, counted, strict=True)
    alone = [losses.patch_nce(query[None, one], key[None, one], 0.07).detach() for query, key, one in rows]
    assert float(value.detach()) == pytest.approx(float(3 * alone[0] + 2 * alone[1]) / 5)
    for gradient in torch.autograd.grad(value, (queries, keys)):
        assert (gradient[~counted] == 0).all()
        assert (gradient[counted] != 0).all()
    every = torch.ones(2, 5, dtype=torch.bool)
    plain = losses.patch_nce(queries, keys, 0.07)
    torch.testing.assert_close(losses.patch_nce(queries, keys, 0.07, every), plain)
    none = losses.patch_nce(queries, keys, 0.07, ~every)
    assert none == 0
    assert all((one == 0).all() for one in torch.autograd.grad(none, (queries, keys)))
