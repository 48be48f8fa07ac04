"""Models of spandrel: found by its own loader or opened by ours, with the pixels of i2i."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

import i2i
from i2i.errors import ModelError, UsageError
from i2i.images import cut_out, write_image
from tests.conftest import ORACLES, picture
from tests.runtime.test_holes import HOLE, filler  # noqa: F401

pytestmark = pytest.mark.skipif(find_spec("spandrel") is None, reason="needs the extra spandrel")
FILES = ["resnet_6_instance.pth", "unet_128_batch.pth", "cut_resnet_6.pth"]
LABELS = [("bag", "red"), ("shoe", "blue")]


@pytest.fixture(scope="module")
def host():
    """i2i inside spandrel, without its marks on the registry that others use."""
    from i2i.hosts import spandrel

    return spandrel


@pytest.fixture
def loader(host, monkeypatch):
    import spandrel

    registry = spandrel.MAIN_REGISTRY.copy()
    monkeypatch.setattr(spandrel, "MAIN_REGISTRY", registry)
    host.install()
    host.install()  # twice is once
    return spandrel.ModelLoader(registry=registry)


def through(model, array, *mask):
    """Pixels through a model of spandrel, as its users call it."""
    image = torch.from_numpy(array.astype(np.float32) / 255).permute(2, 0, 1)[None]
    made = model(image, *mask)
    assert made.shape == (1, model.output_channels, *array.shape[:2])
    return np.rint(made[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.mark.parametrize("name", FILES)
def test_its_loader_finds_weights_of_relatives(host, loader, name):
    import spandrel

    model = loader.load_from_file(ORACLES / name)
    assert isinstance(model, spandrel.ImageModelDescriptor)
    assert (model.architecture.id, model.scale, model.input_channels) == ("i2i", 1, 3)
    array = picture(37, 50)
    expected = i2i.translate(array, ORACLES / name, device="cpu")
    assert np.array_equal(through(model, array), expected)
    assert np.array_equal(through(host.load(ORACLES / name), array), expected)


def test_without_us_it_finds_none_of_them(host):
    import spandrel

    with pytest.raises(spandrel.UnsupportedModelError):
        spandrel.ModelLoader(registry=spandrel.ArchRegistry()).load_from_file(ORACLES / FILES[0])


def test_what_is_another_network_is_left_to_others(host, loader):
    import spandrel

    for state in ({"conv_first.weight": torch.zeros(8, 3, 3, 3)}, {"model.0.weight": torch.zeros(8, 3, 4, 4)}, {}):
        assert not host.ARCHITECTURE.detect(state)
    with pytest.raises(spandrel.UnsupportedModelError):
        loader.load_from_state_dict({"model.0.weight": torch.zeros(8, 3, 4, 4)})


def test_a_model_file_has_the_pixels_of_translate(host, loader, tiny_run):
    model, array = host.load(tiny_run), picture(37, 50)
    assert np.array_equal(through(model, array), i2i.translate(array, tiny_run, device="cpu"))
    with pytest.raises(ModelError, match=r"hosts\.spandrel\.load"):
        loader.load_from_file(tiny_run / "model.safetensors")


def test_labels_and_directions_are_chosen_when_it_is_opened(host, two_way_run, labelled_model):
    array = picture(20, 30)
    for direction in ("A2B", "B2A"):
        made = through(host.load(two_way_run, direction), array)
        assert np.array_equal(made, i2i.translate(array, two_way_run, direction, device="cpu"))
    with pytest.raises(UsageError):
        host.load(two_way_run)
    made = {labels: through(host.load(labelled_model, labels=labels), array) for labels in LABELS}
    for labels, pixels in made.items():
        assert np.array_equal(pixels, i2i.translate(array, labelled_model, labels=labels, device="cpu"))
    assert len({pixels.tobytes() for pixels in made.values()}) == len(LABELS)


def test_a_model_that_fills_holes_takes_a_mask(host, filler, tmp_path):  # noqa: F811
    import spandrel

    array, model = picture(22, 31), host.load(filler)
    assert isinstance(model, spandrel.MaskedImageModelDescriptor)
    made = through(model, array, torch.from_numpy(HOLE.astype(np.float32))[None, None])
    write_image(tmp_path / "erased.png", cut_out(array, HOLE))
    assert np.array_equal(made, i2i.load(filler, device="cpu")(tmp_path / "erased.png", mask="auto").array)


def test_what_spandrel_cannot_run_is_refused(host, tiny_onnx, noise_model):
    for model in (tiny_onnx, noise_model):
        with pytest.raises(UsageError):
            host.load(model)
