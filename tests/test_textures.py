"""Whether a texture model makes the texture that it learned: the nearest source of tools/bench/textures.py."""

import pytest

from tests.conftest import MAPS, ROOT, load_script

textures = load_script(ROOT / "tools" / "bench" / "textures.py")
FILES = [MAPS / "train" / f"{name}.jpg" for name in textures.SOURCES]


@pytest.mark.parametrize("by_shape", [False, True])
def test_patches_of_a_picture_are_nearest_to_itself(by_shape):
    """Dyed, they are nearest to the picture with those colours, but not by shape."""
    one, other = map(textures.relief, FILES)
    assert textures.nearest_is_first([one[:48]], [one, other], by_shape) == 1
    assert textures.nearest_is_first([one[:48]], [other, one], by_shape) == 0
    dyed = one[:48].mean(axis=2, keepdims=True) / 2 + other.mean(axis=(0, 1)) / 2
    assert (textures.nearest_is_first([dyed], [one, other], by_shape) > 0.9) == by_shape


@pytest.mark.slow
def test_samples_are_of_the_texture_that_was_learned(tmp_path):
    """The control is a model of the other texture, on the same scale."""
    sources = [textures.relief(file) for file in FILES]
    made = [textures.fit(file, tmp_path, textures.IMAGES) for file in FILES]
    in_colour, by_shape = ([textures.nearest_is_first(one, sources, kind) for one in made] for kind in (False, True))
    assert in_colour[0] > 0.7
    assert in_colour[1] < 0.1
    assert by_shape[0] > by_shape[1] + 0.03
