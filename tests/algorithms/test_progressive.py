"""Progressive growing: what its paper says of growth, and that a run goes on, is used and is exported at its level."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import i2i
from i2i.errors import ConfigError, ModelError
from i2i.files import read_json_lines
from i2i.models.modelfile import read_spec, save_model
from i2i.networks import ProgressiveDiscriminator, ProgressiveGenerator
from i2i.networks.growth import Growth, at_level, channels
from i2i.runtime.generator import ImageGenerator
from i2i.training.engine import Engine
from i2i.training.fabric import make_fabric
from tests.conftest import make_algorithm, smallest_config


def grown(network, level, fade, *inputs):
    network.growth = Growth(level, fade)
    output = network(*inputs)
    return output if isinstance(output, torch.Tensor) else output.logits


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_generator_begins_a_fade_as_it_was_and_ends_it_grown(level):
    torch.manual_seed(0)
    network, latent = ProgressiveGenerator(3, 32, 8, 4), torch.randn(2, 8)
    before, begun = grown(network, level - 1, 1.0, latent), grown(network, level, 0.0, latent)
    assert torch.equal(begun, before)
    half, whole = grown(network, level, 0.5, latent), grown(network, level, 1.0, latent)
    assert not torch.allclose(half, before, atol=1e-3)
    torch.testing.assert_close(half, (before + whole) / 2)
    network.to_image[level - 1].weight.data.zero_()  # of the level before, which is gone when the next is whole
    assert torch.equal(grown(network, level, 1.0, latent), whole)
    assert not torch.equal(grown(network, level, 0.5, latent), half)
    repeats = 32 // (4 << level)
    pixels = whole[..., ::repeats, ::repeats]
    assert torch.equal(whole, pixels.repeat_interleave(repeats, 2).repeat_interleave(repeats, 3))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_discriminator_begins_a_fade_as_it_was_and_ends_it_grown(level):
    torch.manual_seed(0)
    network, image = ProgressiveDiscriminator(3, 32, 4), torch.rand(2, 3, 32, 32) * 2 - 1
    old = at_level(image, level - 1, 1.0)
    assert torch.equal(grown(network, level, 0.0, old), grown(network, level - 1, 1.0, old))
    whole, half = grown(network, level, 1.0, image), grown(network, level, 0.5, image)
    assert not torch.equal(whole, half)
    network.from_image[level - 1][0].weight.data.zero_()
    assert torch.equal(grown(network, level, 1.0, image), whole)
    assert not torch.equal(grown(network, level, 0.5, image), half)


def test_reals_fade_as_fakes_do():
    image = torch.rand(2, 1, 32, 32)
    small, large = (F.interpolate(F.avg_pool2d(image, side), scale_factor=side) for side in (4, 2))
    assert torch.equal(at_level(image, 3, 1.0), image)
    torch.testing.assert_close(at_level(image, 1, 1.0), small)
    torch.testing.assert_close(at_level(image, 2, 0.25), 0.75 * small + 0.25 * large)


def test_layers_have_equal_rates_and_pixels_unit_length():
    """Weights are standard normal in layers of any size, and outputs of inputs of 1 have the size of He's."""
    torch.manual_seed(0)
    network = ProgressiveGenerator(3, 32, 64, 32)
    weights = [parameter for name, parameter in network.named_parameters() if name.endswith("weight")]
    assert all(abs(float(weight.detach().std()) - 1) < 0.15 for weight in weights)
    convolution = network.blocks[0][0]
    made = convolution(torch.randn(8, 256, 8, 8))[..., 1:-1, 1:-1]  # without the padding
    assert float(made.detach().std()) == pytest.approx(2**0.5, rel=0.1)
    lengths = network.base(network.start(torch.randn(4, 64)).unflatten(1, (-1, 4, 4))).square().mean(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths), rtol=1e-4, atol=0)


def test_levels_have_the_channels_of_the_paper():
    """Table 2: 512 up to 32 px, then half as many at each side, 16 at 1024."""
    assert channels(16, 1024) == [512, 512, 512, 512, 256, 128, 64, 32, 16]


def test_the_growth_follows_the_images(few_pairs):
    settings = ["loss.steady_images=100", "loss.fade_images=50", "data.crop_px=16", "loss.batch_at={8: 3, 16: 2}"]
    algorithm = make_algorithm(smallest_config("progressive", few_pairs, *settings))
    at = {0: (0, 1), 99: (0, 1), 100: (1, 0), 125: (1, 0.5), 150: (1, 1), 249: (1, 1), 251: (2, 0.02), 9999: (2, 1)}
    assert {images: algorithm.growth_at(images) for images in at} == at
    assert [algorithm.batch_at(images) for images in (0, 100, 249, 250)] == [4, 3, 3, 2]
    algorithm.begin(125, 9999)
    image = torch.rand(2, 3, 16, 16)
    shown = algorithm.shown({"image": image}, {"fake": image})["D"]
    assert torch.equal(shown.real, at_level(image, 1, 0.5))
    for network in algorithm.networks.values():
        assert (network.growth.level, network.growth.fade) == (1, 0.5)


def test_a_new_level_starts_the_optimizers_afresh(few_pairs):
    algorithm = make_algorithm(smallest_config("progressive", few_pairs, "loss.n_critic=1"))
    engine = Engine(make_fabric(algorithm.config), algorithm)
    counts = []
    for images in (0, 1, 3, 4, 12):  # levels 0, 0, 1, 1, 2
        algorithm.begin(images, 16)
        engine.train_step({"image": torch.rand(4, 3, 16, 16) * 2 - 1})
        (newest,) = {int(moments["step"]) for moments in engine.optimizers["generator"].optimizer.state.values()}
        counts.append(newest)
    assert counts == [1, 2, 1, 2, 1]


def test_a_run_resumes_exactly_in_the_middle_of_a_fade(few_pairs, tmp_path):
    """Also across steps of other sizes, and with a mean of the weights."""
    growth = ["loss.steady_images=4", "loss.fade_images=8", "loss.batch_at={16: 2}", "train.ema_half_life_images=8"]
    settings = [*growth, "log.checkpoint_every_images=4", "log.keep_checkpoints=9", "schedule.images=20"]
    config = smallest_config("progressive", few_pairs, *settings)
    i2i.train(config, tmp_path / "run")
    wanted = (tmp_path / "run" / "model.safetensors").read_bytes()
    rows = [{**row, "seconds": 0} for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")]
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("*.pt"))
    assert [int(path.stem) for path in checkpoints] == [4, 8, 12, 16, 20]
    for path in checkpoints[2:]:  # after images 4 to 7 at a fade of 0, and 8 to 11 at one of a half
        path.unlink()
    (tmp_path / "run" / "model.safetensors").unlink()
    i2i.train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == wanted
    assert [{**row, "seconds": 0} for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")] == rows


def test_a_model_is_used_and_exported_at_its_level(few_pairs, tmp_path):
    """The file says how far it has grown; at another level it makes other pictures."""
    config = smallest_config("progressive", few_pairs, "schedule.images=12", "train.ema_half_life_images=8")
    i2i.train(config, tmp_path / "run")
    part = read_spec(tmp_path / "run" / "model.safetensors").latent_generator
    assert part.arguments["level"] == 1
    assert part.arguments["fade"] == pytest.approx(5 / 6)
    generator = ImageGenerator.open(tmp_path / "run")
    latents = generator.draw(range(3))
    pictures = generator.generate(latents)
    assert pictures.shape == (3, 3, 16, 16)
    assert np.array_equal(pictures, pictures[..., ::2, ::2].repeat(2, 2).repeat(2, 3))
    generator.backend.network.growth = Growth(2)
    assert not np.allclose(generator.generate(latents), pictures, atol=1e-3)
    i2i.export(tmp_path / "run", tmp_path / "m.onnx")
    exported = ImageGenerator.open(tmp_path / "m.onnx")
    np.testing.assert_allclose(exported.generate(latents), pictures, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"level": 3}, {"level": -1}, {"fade": 1.5}, {"level": 0, "fade": 0.5}], ids=str)
def test_a_file_with_a_level_that_is_none_is_refused(few_pairs, tmp_path, wrong):
    config = smallest_config("progressive", few_pairs)
    i2i.train(config, tmp_path / "run")
    spec = read_spec(tmp_path / "run" / "model.safetensors")
    part = spec.parts["generate"]
    changed = part.model_copy(update={"arguments": part.arguments | wrong})
    network = ImageGenerator.open(tmp_path / "run").backend.network
    path = tmp_path / "wrong.safetensors"
    save_model(path, spec.model_copy(update={"parts": {"generate": changed}}), {"generate": network})
    with pytest.raises(ModelError, match="level"):
        ImageGenerator.open(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("generator={name: dcgan, width: 2}", r"dcgan.*progressive"),
        ("train.cuda_graphs=true", r"train\.cuda_graphs"),
        ("data.crop_px=24", r"crop_px is 24.*8 to 1024"),
    ],
)
def test_what_does_not_grow_is_refused(few_pairs, change, named):
    more = ["data.crop_px=32", "data.resize_px=36"] if "dcgan" in change else ["data.resize_px=36"]
    with pytest.raises(ConfigError, match=named):
        make_algorithm(smallest_config("progressive", few_pairs, *more, change))
