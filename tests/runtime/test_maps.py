"""Pictures of any size: what a size changes, and what it leaves as it is."""

import numpy as np
import pytest

import i2i
from i2i.errors import OutOfMemoryError, UsageError
from i2i.images import read_image
from i2i.runtime import maps
from i2i.runtime.generator import ImageGenerator
from i2i.runtime.inverter import Inverter
from tests.cli.test_cli import call
from tests.conftest import noise


@pytest.fixture(scope="module")
def cppn_onnx(cppn_model):
    i2i.export(cppn_model, cppn_model.with_suffix(".onnx"))
    return cppn_model.with_suffix(".onnx")


@pytest.fixture(scope="module")
def texture_onnx(texture_model):
    i2i.export(texture_model, texture_model.with_suffix(".onnx"))
    return texture_model.with_suffix(".onnx")


def make(model, height, width, seeds=(3, 4), tile=False):
    generator = ImageGenerator.open(model, "cpu", (height, width), tile)
    return generator.generate(generator.draw(seeds))


def test_coordinates_have_one_colour_at_every_size(cppn_model):
    """A pixel of three times as many has its centre where one of the small picture has it: the second of each three.

    The controls are the pixels beside it, and the small picture enlarged.
    """
    small, large = make(cppn_model, 16, 16), make(cppn_model, 48, 48)
    np.testing.assert_allclose(large[:, :, 1::3, 1::3], small, atol=1e-6)
    assert np.abs(large[:, :, ::3, ::3] - small).max() > 0.1
    assert np.abs(large - small.repeat(3, axis=2).repeat(3, axis=3)).max() > 0.1


def test_a_wider_picture_shows_more_at_its_sides(cppn_model):
    """And the same in the middle; the control is the left end."""
    square, wide = make(cppn_model, 16, 16), make(cppn_model, 16, 40)
    np.testing.assert_allclose(wide[..., 12:28], square, atol=1e-6)
    assert np.abs(wide[..., :16] - square).max() > 0.1


@pytest.mark.parametrize("sides", [(16, 16), (7, 31), (1, 1)])
def test_a_file_makes_the_sizes_that_torch_makes(cppn_model, cppn_onnx, sides):
    np.testing.assert_allclose(make(cppn_onnx, *sides), make(cppn_model, *sides), atol=1e-5)


def test_size_is_width_by_height(tmp_path, cppn_onnx):
    words = ["-m", str(cppn_onnx), "-n", "2", "--seed", "3", "--size", "31x7", "--separate", "-o", str(tmp_path / "o")]
    assert call("generate", *words) == 0
    made = [read_image(path) for path in sorted((tmp_path / "o").iterdir())]
    assert [one.shape for one in made] == [(7, 31, 3)] * 2
    np.testing.assert_allclose(made[0], (make(cppn_onnx, 7, 31)[0].transpose(1, 2, 0) + 1) * 127.5, atol=0.51)


def test_neighbours_in_a_batch_of_large_pictures_change_nothing(cppn_model):
    """The batches of a larger size are smaller."""
    together, calls = make(cppn_model, 64, 64, range(6)), []
    generator = ImageGenerator.open(cppn_model, "cpu", (64, 64))
    run = generator.backend.run
    generator.backend.run = lambda batch: calls.append(len(batch)) or run(batch)
    np.testing.assert_allclose(generator.generate(generator.draw(range(6))), together, atol=1e-6)
    assert calls == [4, 2]  # of 64 pictures of 16 px
    np.testing.assert_allclose(make(cppn_model, 64, 64, [5])[0], together[5], atol=1e-6)


def test_sizes_that_cannot_be_made_are_refused(tmp_path, cppn_model, noise_model, point_model, monkeypatch):
    with pytest.raises(UsageError, match="32x32"):
        make(noise_model, 64, 64)
    with pytest.raises(UsageError, match="points"):
        make(point_model, 64, 64)
    assert make(noise_model, 32, 32).shape == (2, 3, 32, 32)
    monkeypatch.setattr(maps, "available_bytes", lambda: 2**20)
    assert make(cppn_model, 20, 20).shape == (2, 3, 20, 20)
    with pytest.raises(OutOfMemoryError, match="900x800"):
        make(cppn_model, 800, 900)
    words = ["-m", str(cppn_model), "--size", "40x40", "-o", str(tmp_path / "a.png")]
    assert call("generate", *words, "-n", "2") == 0
    assert call("generate", *words, "-n", "100", "--overwrite") == 5


def test_latents_that_a_person_bred_make_any_size(tmp_path, cppn_model, cppn_onnx):
    model, folder = ["-m", str(cppn_model)], tmp_path / "litter"
    assert call("breed", *model, "-o", str(folder)) == call("breed", *model, "-o", str(folder), "--keep", "2,5") == 0
    words = ["--latents", str(folder / "001.npy"), "--size", "40x24", "-o", str(tmp_path / "o"), "--separate"]
    assert call("generate", *model, *words) == 0
    kept = read_image(tmp_path / "o" / "000000.png")
    np.testing.assert_allclose(kept, (make(cppn_onnx, 24, 40, [1])[0].transpose(1, 2, 0) + 1) * 127.5, atol=0.51)
    assert call("interpolate", *model, "--seeds", "1,2", "--steps", "2", "-o", str(tmp_path / "walk.png")) == 0


def test_the_latent_of_a_picture_is_found(cppn_model):
    """Far nearer than the best draw, which is the control."""
    (image,) = make(cppn_model, 16, 16, [999])
    found = Inverter.open(cppn_model, "cpu")(image, steps=100)
    assert found.error.l1 < found.drawn.l1 / 3


@pytest.mark.parametrize("sides", [(32, 32), (8, 40)])
@pytest.mark.parametrize("tile", [False, True])
def test_a_file_makes_the_textures_that_torch_makes(texture_model, texture_onnx, sides, tile):
    made = make(texture_model, *sides, tile=tile)
    assert made.shape == (2, 3, *sides)
    assert made.std() > 0.1
    np.testing.assert_allclose(make(texture_onnx, *sides, tile=tile), made, atol=1e-5)


def test_a_part_of_a_map_makes_that_part_of_the_texture(texture_model):
    """Up to its very border, since nothing is padded; the control is the part beside it."""
    generator = ImageGenerator.open(texture_model, "cpu")
    whole = np.random.default_rng(0).standard_normal((1, 4, 9, 12), np.float32)
    texture, part = generator.backend.run(whole), generator.backend.run(whole[:, :, 2:6, 3:9])
    assert texture.shape == (1, 3, 56, 80)
    np.testing.assert_allclose(part, texture[:, :, 16:32, 24:56], atol=1e-5)
    assert np.abs(part - texture[:, :, 16:32, 32:64]).max() > 0.1


@pytest.mark.parametrize("places", [(0, 1), (3, 0), (1, 2)])
def test_a_tile_is_a_texture_on_a_ring(texture_model, places):
    """Its latents moved on by some places, around the border, make the same tile moved on; the control is no tile."""
    moved_px = tuple(8 * one for one in places)
    for tile, least, most in ((True, 0, 1e-5), (False, 0.1, 2)):
        generator = ImageGenerator.open(texture_model, "cpu", (32, 48), tile)
        latents = generator.draw([5])
        shape = (1, 4, 4, 6) if tile else (1, 4, 6, 8)
        moved = np.roll(latents.reshape(shape), places, (2, 3)).reshape(1, -1)
        one, other = generator.generate(latents), generator.generate(moved)
        assert least <= np.abs(np.roll(one, moved_px, (2, 3)) - other).max() <= most


def test_tiles_have_no_seam(texture_model):
    """Steps across a tile's borders are as large as within; the control, without the option, has steps thrice as large.

    Means of 128 textures; steps within are those between places of the map, where the ones across lie.
    """
    ratios = []
    for tile in (True, False):
        made = make(texture_model, 32, 48, range(128), tile)
        steps = [np.abs(np.diff(made, axis=axis, append=made.take([0], axis))) for axis in (2, 3)]
        across = [one.take([-1], axis).mean() for axis, one in zip((2, 3), steps, strict=True)]
        within = [one.take([7, 15, 23], axis).mean() for axis, one in zip((2, 3), steps, strict=True)]
        ratios.append(np.divide(across, within))
    assert (np.abs(ratios[0] - 1) < 0.1).all()
    assert (ratios[1] > 3).all()


def test_latents_of_textures_walk_and_breed_and_are_found(tmp_path, texture_model):
    model = ["-m", str(texture_model)]
    assert call("interpolate", *model, "--seeds", "1,2", "--steps", "2", "-o", str(tmp_path / "walk.png")) == 0
    assert call("breed", *model, "-o", str(tmp_path / "litter")) == 0
    words = ["--size", "48x16", "--tile", "-n", "2", "--save-latents", str(tmp_path / "z.npy"), "-o"]
    assert call("generate", *model, *words, str(tmp_path / "a.png")) == 0
    words = ["--size", "48x16", "--tile", "--latents", str(tmp_path / "z.npy"), "-o", str(tmp_path / "b.png")]
    assert call("generate", *model, *words) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "a.png"))
    assert np.load(tmp_path / "z.npy").shape == (2, 4 * 2 * 6)
    found = Inverter.open(texture_model, "cpu")(make(texture_model, 32, 32, [999])[0], steps=100)
    assert found.error.l1 < found.drawn.l1 / 2


def test_what_is_no_texture_does_not_tile(cppn_model, noise_model, texture_model):
    for model in (cppn_model, noise_model):
        with pytest.raises(UsageError, match="texture_relief"):
            make(model, 32, 32, tile=True)
    with pytest.raises(UsageError, match="48x24"):
        make(texture_model, 23, 41)


def test_a_description_of_maps_that_is_wrong_is_refused(cppn_model):
    part = i2i.load(cppn_model).generator
    assert part.blocks == noise(4)
    for wrong in ({"place_px": 3}, {"kind": "translate"}, {"out_px": 0}, {"place_px": 0, "border_places": 1}):
        with pytest.raises(ValueError, match="part"):
            type(part).model_validate(part.model_dump() | wrong)
