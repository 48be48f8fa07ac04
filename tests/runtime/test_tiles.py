"""Large pictures: invisible seams, shared or exact statistics, and running out of memory."""

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from i2i.errors import ImageError, ModelError, OutOfMemoryError, UsageError
from i2i.images import read_image, to_unit
from i2i.networks import ModernUNet, ResNet, UNet, big_maps
from i2i.networks.layers import Norm, set_norm_statistics
from i2i.runtime import plan as plans
from i2i.runtime.backends import TorchBackend
from i2i.runtime.fit import Fit, cropped, make_fit, padded_side, resized
from i2i.runtime.tiles import make_line
from i2i.runtime.translator import Translator
from tests.conftest import picture, run_i2i, save
from tests.runtime.test_translator import identity


@given(st.integers(1, 12), st.data())
def test_tiles_cover_a_side_and_weigh_one(multiple, data):
    """Weights of every pixel sum to one, none is negative, and a tile's outer edges inside the picture have none."""
    tile = data.draw(st.integers(2, 12))
    overlap = data.draw(st.integers(1, tile - 1))
    side, blend = data.draw(st.integers(1, 60)), data.draw(st.integers(1, overlap * multiple))
    line = make_line(side * multiple, tile * multiple, multiple, overlap * multiple, blend)
    total = np.zeros(side * multiple)
    for origin, weights in zip(line.origins, line.weights, strict=True):
        assert origin % multiple == 0
        assert weights.min() >= 0
        total[origin : origin + line.tile] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for here, following in itertools.pairwise(line.origins):
        assert here < following <= here + line.tile - overlap * multiple
    assert line.tile == min(tile, side) * multiple
    if blend < overlap * multiple - 2:
        assert all(weights[0] == 0 for weights in line.weights[1:])
        assert all(weights[-1] == 0 for weights in line.weights[:-1])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.sampled_from([1, 3, 4]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([4, 16, 64]),
    st.integers(16, 150),
)
def test_tiles_of_the_identity_are_the_picture(height, width, channels, dtype, multiple, tile_px):
    array = picture(height, width, channels, dtype)
    translator = identity(channels, multiple, 2 * multiple)
    translator = Translator(translator.spec, translator.backend, "A2B", Fit("tile", tile_px=tile_px))
    output = translator.translate(array)
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, array)


ENLARGING: dict[str, Any] = {"transpose": "pixel_shuffle", "resize": "nearest", "bilinear": "bilinear"}
NETWORKS = [
    (lambda norm, upsample, down: UNet(depth=5, width=4, norm=norm, upsample=upsample), ["strided"]),
    (
        lambda norm, upsample, down: ResNet(blocks=2, width=4, norm=norm, upsample=upsample, downsample=down),
        ["strided", "blur"],
    ),
    (
        lambda norm, upsample, down: ModernUNet(
            depth=3, width=4, norm=norm, blocks=1, attention=True, upsample=ENLARGING[upsample]
        ),
        ["strided"],
    ),
]


def whole_parts(image):
    """Two parts of an image that both are all of it, so that no network looks beyond them."""
    height, width = image.shape[2:]
    for rows in ((0, 100), (100, height)):
        yield big_maps.ImagePart(image.clone(), (0, 0), (rows, (0, width)))


@pytest.mark.parametrize(
    ("make", "norm", "upsample", "down"),
    [
        (make, norm, upsample, down)
        for make, downs in NETWORKS
        for norm in get_args(Norm)
        for upsample in ("transpose", "resize")
        for down in downs
    ]
    + [(NETWORKS[-1][0], norm, "bilinear", "strided") for norm in ("group", "instance")],
)
def test_strips_and_frozen_statistics_are_the_network(monkeypatch, make, norm, upsample, down):
    """The network is the same function in strips, and so when frozen at the statistics of the same picture."""
    monkeypatch.setattr(big_maps, "_STRIP_VALUES", 1)  # the shortest strips there are
    torch.manual_seed(0)
    network = make(norm, upsample, down).eval()
    if not isinstance(network, ModernUNet):
        for parameter in network.parameters():
            parameter.data *= 4  # from next to nothing to strong contrasts
    set_norm_statistics(network, "image")
    image = torch.from_numpy(to_unit(picture(352, 96)))[None]
    other = torch.from_numpy(to_unit(picture(96, 160, seed=3)))[None]
    with torch.inference_mode():
        expected = network(image)
        assert norm == "none" or expected.std() > 0.1
        torch.testing.assert_close(big_maps.in_strips(network)(image.clone()), expected, atol=1e-4, rtol=0)
        frozen = big_maps.freeze(network, image)
        torch.testing.assert_close(frozen(image), expected, atol=1e-4, rtol=0)
        in_parts = big_maps.freeze_in_parts(network, lambda: whole_parts(image))
        torch.testing.assert_close(in_parts(image), expected, atol=1e-4, rtol=0)
        differs = (big_maps.freeze(network, other)(image) - expected).abs().max() > 0.02
        assert differs == (norm != "none")
        torch.testing.assert_close(network(image), expected, atol=0, rtol=0)  # and it is untouched


@pytest.fixture(scope="module")
def sensitive(tmp_path_factory):
    """A model whose tiles differ: a random ResNet with instance norm."""
    from i2i.models.modelfile import save_model
    from i2i.models.spec import ModelSpec, translating

    torch.manual_seed(1)
    arguments = {"blocks": 2, "width": 4, "norm": "instance"}
    network = ResNet(**arguments)
    for parameter in network.parameters():
        parameter.data *= 4
    part = translating("resnet", arguments, 3, 3, 4, 8)
    spec = ModelSpec(
        i2i_version="0",
        algorithm="pix2pix",
        parts={"A2B": part},
        norm_statistics="running",
        trained_crop_px=64,
        trained_side_px=64,
    )
    path = tmp_path_factory.mktemp("sensitive") / "model.safetensors"
    save_model(path, spec, {"A2B": network})
    return path


def uneven(height, width):
    """A picture that is bright on the left and dark on the right, so that its tiles have other statistics."""
    ramp = np.linspace(1.0, 0.2, width)[None, :, None]
    return np.rint(picture(height, width) * ramp).astype(np.uint8)


def levels(a, b):
    """Mean and largest difference in grey levels."""
    difference = np.abs(a.astype(float) - b)
    return difference.mean(), difference.max()


def test_tiles_against_the_whole(sensitive, monkeypatch):
    array = uneven(300, 700)
    model = Translator.open(sensitive, device="cpu")
    whole = model.translate(array)
    made = {
        (tile, px): Translator.open(sensitive, device="cpu", fit=Fit("tile", tile, px)).translate(array)
        for tile, px in [("frozen", 256), ("frozen", 320), ("exact", None)]
    }
    assert levels(made["exact", None], whole)[1] <= 1
    # The picture is not larger than its copy for statistics, so they are exact, and tiles overlap enough.
    assert levels(made["frozen", 256], whole)[1] <= 1
    assert levels(made["frozen", 320], made["frozen", 256])[1] <= 1
    # With the statistics of a smaller copy tiles still agree among themselves; left alone, they do not.
    monkeypatch.setattr(plans, "TILE_BYTES", plans.estimated_bytes(model.generator, 160**2))
    assert levels(*tiled_by(sensitive, array, 256, 320))[1] <= 1
    monkeypatch.setattr(TorchBackend, "frozen", lambda backend, picture: backend)
    assert levels(*tiled_by(sensitive, array, 256, 320))[0] > 2


@pytest.mark.parametrize("tile", ["frozen", "exact"])
def test_flat_pictures_are_flat_in_tiles(sensitive, monkeypatch, tile):
    monkeypatch.setattr(big_maps, "_STRIP_VALUES", 1)
    whole = Translator.open(sensitive, device="cpu")
    tiled = Translator.open(sensitive, device="cpu", fit=Fit("tile", tile, 128 if tile == "frozen" else None))
    for colour in (0, 90, 255):
        array = np.full((200, 300, 3), colour, np.uint8)
        expected = whole.translate(array)
        assert (expected == expected[0, 0]).all()
        np.testing.assert_array_equal(tiled.translate(array), expected)


def tiled_by(path, array, *sides):
    return [Translator.open(path, device="cpu", fit=Fit("tile", None, px)).translate(array) for px in sides]


def test_big_pictures_go_through_in_tiles_by_themselves(tiny_run, tmp_path, monkeypatch):
    array = picture(200, 330)
    model = Translator.open(tiny_run, device="cpu")
    whole = model.translate(array)
    monkeypatch.setattr("i2i.runtime.plan.WHOLE_BYTES", plans.estimated_bytes(model.generator, 200 * 330) - 1)
    sizes = []
    run = model.backend.run
    monkeypatch.setattr(model.backend, "run", lambda batch: sizes.append(batch.shape) or run(batch))
    monkeypatch.setattr(model.planner, "tile_px", 64)
    tiled = model.translate(array)
    assert len(sizes) > 10
    assert {size[2:] for size in sizes} == {(64, 64)}
    assert levels(tiled, whole)[0] < 3
    model.planner.fit = Fit("pad")
    np.testing.assert_array_equal(model.translate(array), whole)


class Limited:
    """A backend that has little memory."""

    name, device = "fake", "toaster"

    def __init__(self, pixels):
        self.pixels, self.seen = pixels, []

    def run(self, batch):
        if batch.shape[2] * batch.shape[3] > self.pixels:
            raise MemoryError
        self.seen.append(batch.shape[2:])
        return batch


def test_two_pictures_that_run_out_of_memory_together_halve_the_tiles_once():
    both = threading.Barrier(2, timeout=10)

    class Meeting(Limited):
        def run(self, batch):
            if batch.shape[2] * batch.shape[3] > self.pixels:
                both.wait()
            return super().run(batch)

    translator = Translator(identity(3, 16, 16).spec, Meeting(300 * 300), "A2B", Fit("tile", None, 400))
    statistics_px, array = translator.planner.statistics_px, picture(500, 700)
    with ThreadPoolExecutor(2) as pool:
        for output in pool.map(translator.translate, [array, array]):
            np.testing.assert_array_equal(output, array)
    assert (translator.planner.tile_px, translator.planner.statistics_px) == (208, statistics_px // 2)
    assert set(translator.backend.seen) == {(208, 208)}


def test_memory_that_runs_out_halves_the_tiles():
    spec = identity(3, 16, 16).spec
    array = picture(500, 700)

    def translated(how, pixels):
        translator = Translator(spec, Limited(pixels), "A2B", Fit(how))
        np.testing.assert_array_equal(translator.translate(array), array)
        assert set(translator.backend.seen) == {(176, 176)}  # 700 / 2 / 2, rounded up to 16
        seen = len(translator.backend.seen)
        translator.translate(array)  # the next picture begins with what fitted
        assert len(translator.backend.seen) == 2 * seen
        return [note for note in translator.notes if "memory" in note]

    first, second = translated(None, 200**2)
    assert "toaster" in first
    assert re.search(r"toaster.* 176 px.* 352", second)
    with pytest.raises(OutOfMemoryError, match="--fit pad"):
        Translator(spec, Limited(200**2), "A2B", Fit("pad")).translate(array)
    with pytest.raises(OutOfMemoryError, match="32 px"):
        Translator(spec, Limited(1), "A2B").translate(array, name="a.png")


def test_strips_that_are_too_much_are_named(tiny_run, monkeypatch):
    def run(backend, batch):
        raise MemoryError

    model = Translator.open(tiny_run, device="cpu", fit=Fit("tile", "exact"))
    monkeypatch.setattr(TorchBackend, "run", run)
    with pytest.raises(OutOfMemoryError, match=r"\n.*--tile exact"):
        model.translate(picture(40, 40))


def test_fit_resize_keeps_the_size_and_crop_cuts_the_centre(tiny_run):
    """The scale trained at is 18 px, the network's multiple 16."""
    array = picture(61, 90)
    padded = Translator.open(tiny_run, device="cpu")
    model = Translator.open(tiny_run, device="cpu", fit=Fit("resize"))
    expected = resized(padded.translate(resized(array, 18, 27)), 61, 90)
    np.testing.assert_array_equal(model.translate(array), expected)
    assert model.translate(picture(9, 9, dtype=np.uint16)).shape == (9, 9, 3)

    model = Translator.open(tiny_run, device="cpu", fit=Fit("crop"))
    np.testing.assert_array_equal(model.translate(array), padded.translate(array[6:54, 5:85]))
    with pytest.raises(ImageError, match=r"90x12.* 16 px"):
        model.translate(array[:12])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_resizing_is_that_of_training(dtype):
    from i2i.data.augment import resize

    array = picture(64, 90, 3, dtype)
    for shorter in (33, 100):
        trained = resize(array, shorter)
        top = 2 if dtype == np.uint8 else 2 * 257
        assert np.abs(resized(array, *trained.shape[:2]).astype(int) - trained).max() <= top


def test_a_file_of_fixed_size_takes_larger_pictures_in_tiles():
    spec = identity(3, 16, 16).spec.model_copy(update={"fixed_size": (64, 96)})
    array = picture(100, 150)
    with pytest.raises(ModelError, match=r"--fit resize.*--fit tile"):
        Translator(spec, Limited(10**6), "A2B").translate(array)
    for how, shape in (("tile", (100, 150)), ("resize", (100, 150)), ("crop", (64, 96))):
        translator = Translator(spec, Limited(10**6), "A2B", Fit(how))
        output = translator.translate(array)
        assert output.shape == (*shape, 3)
        assert set(translator.backend.seen) == {(64, 96)}
        assert how == "resize" or np.array_equal(output, cropped(array, *shape))


def test_words_of_the_command_line(sensitive, tiny_onnx, tmp_path):
    save(tmp_path / "a.png", 90, 120)
    done = run_i2i("translate", tmp_path / "a.png", "-m", sensitive, "-o", tmp_path / "b.png", "--tile-px", 64)
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "b.png").shape == (90, 120, 3)
    with pytest.raises(UsageError, match=r"--fit tile.*--fit pad"):
        make_fit("pad", "exact", None)
    with pytest.raises(UsageError, match="--tile-px"):
        make_fit(None, "exact", 64)
    with pytest.raises(UsageError, match=r"\.safetensors"):
        Translator.open(tiny_onnx, fit=Fit("tile", "exact"))
    assert make_fit(None, None, 64) == Fit("tile", None, 64)
    assert padded_side(5, 4, 8) == 8
