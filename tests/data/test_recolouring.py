"""The linear change of colours that a training without pairs begins with."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import i2i
from i2i.data.recolouring import inverse, monge, search
from i2i.errors import ConfigError
from i2i.images import write_image
from i2i.models.modelfile import load_generator, read_spec
from i2i.networks import GENERATORS
from i2i.networks.big_maps import freeze, in_strips
from i2i.networks.layers import set_norm_statistics
from tests.conftest import smallest_config

ROTATED = torch.tensor([[0.0, 0.6, 0.0], [0.0, 0.0, 0.6], [0.6, 0.0, 0.0]])  # red to green to blue to red


def colours(seed, count=4000):
    """Colours of yellow things, some blue ones, and a white background."""
    random = torch.Generator().manual_seed(seed)
    kinds = torch.tensor([[0.9, 0.6, -0.8], [-0.8, 0.1, 0.7], [0.95, 0.95, 0.95]])
    spread = torch.tensor([[0.1, 0.3, 0.2], [0.2, 0.1, 0.2], [0.01, 0.01, 0.01]])
    kind = torch.multinomial(torch.tensor([0.5, 0.1, 0.4]), count, replacement=True, generator=random)
    return kinds[kind] + spread[kind] * torch.randn(count, 3, generator=random)


def error(change, a, truth):
    return float(((a - change.mean_a) @ change.matrix + change.mean_b - truth).abs().mean())


def test_a_rotation_of_channels_is_found_without_pairs():
    """Monge's map, which has the same means and covariances, is the control."""
    a, b = colours(0), colours(1) @ ROTATED + 0.1
    truth = a @ ROTATED + 0.1
    found, kept = error(search(a, b), a, truth), error(monge(a, b), a, truth)
    print(
        f"\nsearch: {found:.3f} of -1 to 1, the nearest map: {kept:.3f}, input copied: {(a - truth).abs().mean():.3f}"
    )
    assert found < 0.05 < 0.2 < kept


def test_monges_map_has_the_moments_of_the_other_side():
    a, b = colours(0), colours(1) @ ROTATED + 0.1
    change = monge(a, b)
    made = (a - change.mean_a) @ change.matrix + change.mean_b
    assert torch.allclose(made.mean(0), b.mean(0), atol=1e-5)
    assert torch.allclose(torch.cov(made.T), torch.cov(b.T), atol=1e-3)
    same = monge(a, a)
    assert torch.allclose(same.matrix, torch.eye(3), atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_there_and_back_is_no_change(seed):
    random = np.random.default_rng(seed)
    rows = np.concatenate([np.eye(3) + random.uniform(-0.3, 0.3, (3, 3)), random.uniform(-1, 1, (3, 1))], axis=1)
    back = np.array(inverse(rows.tolist()))
    x = random.uniform(-1, 1, 3)
    there = rows[:, :3] @ x + rows[:, 3]
    assert back[:, :3] @ there + back[:, 3] == pytest.approx(x, abs=1e-5)


def test_an_untrained_network_does_little_but_the_change():
    torch.manual_seed(0)
    rows = torch.tensor([[0, 0.6, 0, 0.1], [0, 0, 0.6, 0], [0.6, 0, 0, -0.1]])
    image = torch.rand(1, 3, 32, 32) * 1.8 - 0.9
    wanted = torch.einsum("ij,njhw->nihw", rows[:, :3], image) + rows[:, 3, None, None]
    changing, other = (GENERATORS["modern_unet"](depth=3, width=8, recolours=on) for on in (True, False))
    changing.recolouring.change_to(rows.tolist())
    with torch.no_grad():
        ours, control = (float((network(image) - wanted).abs().mean()) for network in (changing, other))
    print(f"\nfrom the change: {ours:.3f}, without it {control:.3f} of -1 to 1")
    assert ours < 0.1 < control


def test_big_pictures_go_through_it_in_strips():
    torch.manual_seed(0)
    network = GENERATORS["modern_unet"](depth=2, width=4, recolours=True).eval()
    network.recolouring.change_to([[0, 0.6, 0, 0.1], [0, 0, 0.6, 0], [0.6, 0, 0, -0.1]])
    set_norm_statistics(network, "image")
    image = torch.rand(1, 3, 512, 64) * 2 - 1
    with torch.inference_mode():
        whole = network(image)
        assert torch.allclose(in_strips(network)(image), whole, atol=1e-4)
        assert torch.allclose(freeze(network, image)(image), whole, atol=1e-4)
        assert not torch.allclose(freeze(network, image * 0.1)(image), whole, atol=1e-4)


@pytest.fixture
def two_sides(tmp_path):
    """Folders of pictures whose channels are rotated from A to B."""
    for number in range(6):
        picture = ((colours(number, 32 * 32).clamp(-1, 1) + 1) * 127.5).round().byte().reshape(32, 32, 3).numpy()
        write_image(tmp_path / "data" / "trainA" / f"{number}.png", picture)
        write_image(tmp_path / "data" / "trainB" / f"{number}.png", picture[..., [2, 0, 1]])
    return tmp_path / "data"


def settings_of(data, *changes, kind="cyclegan"):
    network = "generator={name: modern_unet, depth: 3, width: 4, recolour: changed}"
    return smallest_config(kind, data, network, f"data.path={data}", *changes)


def test_a_run_keeps_the_change_it_found(two_sides, tmp_path):
    i2i.train(settings_of(two_sides), tmp_path / "run")
    first = i2i.load_config(tmp_path / "run" / "config.yaml").generator.recolouring
    assert np.array(first)[:, :3] == pytest.approx(np.eye(3)[[2, 0, 1]], abs=0.25)
    i2i.train(settings_of(two_sides, "schedule.images=24"), tmp_path / "run", resume=True)
    assert i2i.load_config(tmp_path / "run" / "config.yaml").generator.recolouring == first
    path = tmp_path / "run" / "model.safetensors"
    back = load_generator(path, read_spec(path), "B2A").recolouring
    assert back.matrix[:, :, 0, 0].numpy() == pytest.approx(np.eye(3)[[1, 2, 0]], abs=0.25)
    assert i2i.export(tmp_path / "run", tmp_path / "model.onnx", direction="A2B").spec.proof is not None


@pytest.mark.parametrize(
    ("kind", "words"),
    [("cut", "encoder"), ("pix2pix", "without pairs")],
)
def test_where_it_does_not_apply_it_is_refused(kind, words, two_sides, few_pairs, tmp_path):
    data = few_pairs if kind == "pix2pix" else two_sides
    with pytest.raises(ConfigError, match=words):
        i2i.train(settings_of(data, kind=kind), tmp_path / "run")


def test_grey_pictures_get_a_note(two_sides, tmp_path, capsys):
    i2i.train(settings_of(two_sides, "data.channels_a=1", "data.channels_b=1"), tmp_path / "run")
    assert "generator.recolour is off" in capsys.readouterr().err
    assert i2i.load_config(tmp_path / "run" / "config.yaml").generator.recolouring is None
