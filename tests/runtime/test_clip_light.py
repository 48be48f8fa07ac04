"""What the light of a clip is found to do, and that neither it nor cuts make outputs flicker."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from i2i.images.frames import thumbnail
from i2i.runtime import clip_sources
from i2i.runtime.clip_light import Light, scenes_of
from i2i.runtime.clip_statistics import SceneModels
from i2i.runtime.translator import Translator

COUNT = 24
STILL = np.kron(np.random.default_rng(0).integers(0, 256, (12, 32, 3)), np.ones((8, 8, 1)))
OTHER = 100 - STILL[::-1, ::-1] / 3
DARKER = [0.4 + 0.6 * number / (COUNT - 1) for number in range(COUNT)]


def frames(make):
    return [np.clip(np.rint(make(number)), 0, 255).astype(np.uint8) for number in range(COUNT)]


def right(number):
    frame = STILL.copy()
    frame[:, 160:] *= DARKER[number]
    return frame


def crossing(number):
    frame = 0.6 * STILL
    frame[24:60, 128 + 4 * number : 164 + 4 * number] = 255
    return frame


CLIPS = {
    "still": lambda number: STILL,
    "everywhere": lambda number: STILL * DARKER[number],
    "right": right,
    "crossing": crossing,
    "lamp": lambda number: STILL * (0.8 + 0.1 * np.sin(2 * number)),
    "panned": lambda number: np.roll(STILL, 6 * number, axis=1),
    "to black": lambda number: STILL * max(1 - number / 20, 0) if number else STILL,
    "to white": lambda number: 255 - (255 - STILL) * max(1 - number / 20, 0),
    "cut": lambda number: STILL if number < 10 else OTHER,
    "through black": lambda number: (STILL if number < 12 else OTHER) * min(abs(number - 12) / 8, 1),
}


def lights(name):
    scenes = scenes_of([thumbnail(frame) for frame in frames(CLIPS[name])])
    return scenes, [scene.light(number) for scene in scenes for number in range(scene.start, scene.stop)]


def levels(lights, frames):
    """Frames in the light of their scene, in grey levels."""
    undone = [light.undone(frame) for light, frame in zip(lights, frames, strict=False)]
    return [one / (1 if one.dtype == np.uint8 else 257) for one in undone]


@pytest.mark.parametrize("name", ["still", "right", "crossing", "panned"])
def test_what_changes_a_part_is_no_light(name):
    scenes, found = lights(name)
    assert len(scenes) == 1
    assert all(one == (1, 0, False) for one in found)


def test_what_changes_everything_is_light_and_is_undone():
    _, found = lights("everywhere")
    assert np.array([one.gain for one in found]) / found[-1].gain == pytest.approx(DARKER, abs=0.01)
    ramp = frames(CLIPS["everywhere"])
    assert np.var(levels(found, ramp), axis=0).mean() < np.var(ramp, axis=0).mean() / 500


@pytest.mark.parametrize(("name", "end"), [("to black", 0), ("to white", 255)])
def test_a_fade_is_undone_before_the_network_and_put_back_behind_it(name, end):
    _, found = lights(name)
    faded = frames(CLIPS[name])
    assert found[-1].fades
    assert not found[0].fades
    drawing = np.full((4, 4, 3), 100, np.uint8)
    shown = [int(light.put_back(drawing)[0, 0, 0]) for light in found]
    assert (shown[0], shown[-1]) == (100, end)
    assert sorted(shown, reverse=end == 0) == shown
    assert np.var(levels(found[:14], faded), axis=0).mean() < np.var(faded[:14], axis=0).mean() / 500


def test_cuts_part_scenes():
    assert [(one.start, one.stop) for one in lights("cut")[0]] == [(0, 10), (10, COUNT)]
    scenes, found = lights("through black")
    assert len(scenes) == 2
    assert [one.fades for one in found[11:15]] == [True] * 4
    assert not found[0].fades


def test_alpha_and_deep_values_keep_theirs():
    frame = np.full((2, 2, 4), 40, np.uint8)
    assert Light(0.5).undone(frame)[0, 0].tolist() == [80 * 257] * 3 + [40 * 257]
    assert Light(0.5).undone(frame.astype(np.uint16) * 257)[0, 0].tolist() == [80 * 257] * 3 + [40 * 257]
    assert Light(0.1).undone(frame)[0, 0, 0] == 160 * 257  # four times as bright at most
    assert Light(1.0004).undone(frame) is frame


def outputs(translator, name, folder, first=0):
    """What the models of a clip make of its frames from `first` on."""
    for number, frame in enumerate(frames(CLIPS[name])):
        Image.fromarray(frame).save(folder / f"{number:02}.png")
    clip, thumbnails = clip_sources.survey(folder, 10**8, Fraction(25), lambda count: None)
    models = SceneModels([translator], clip, thumbnails, 10**8, first)
    for number, frame in enumerate(clip_sources.frames(clip, range(first, COUNT), 10**8), first):
        (one,), light = models.at(number)
        yield light.put_back(one.translate(light.undone(frame), np.uint8))


@pytest.mark.parametrize("name", ["everywhere", "lamp", "right", "crossing"])
def test_what_stays_still_does_not_flicker(name, tmp_path):
    """Measured where no pixel changes but for the light; the control translates each frame alone."""
    translator, still = Translator.open("lineart"), 64 if name in ("right", "crossing") else 256
    alone = np.var([translator.translate(frame)[:, :still] for frame in frames(CLIPS[name])], axis=0).mean()
    together = np.var([one[:, :still] for one in outputs(translator, name, tmp_path)], axis=0).mean()
    print(f"{name}: variance over time {together:.1f}, frame by frame {alone:.1f}")
    assert alone > 1
    assert together <= alone / 30


def test_scenes_have_their_own_statistics_also_for_a_run_that_goes_on(tmp_path):
    translator = Translator.open("lineart")
    made = list(outputs(translator, "cut", tmp_path))
    for frame, output in list(zip(frames(CLIPS["cut"]), made, strict=True))[::6]:
        assert np.abs(translator.translate(frame).astype(float) - output).mean() < 0.1
    assert all(map(np.array_equal, outputs(translator, "cut", tmp_path, 17), made[17:]))
