"""How the light of a clip changes: where scenes are cut, and how much brighter each frame is than its scene.

What changes all of a picture alike (a fade, an exposure, a lamp) can be undone before the network and, for fades,
done again behind it; what changes a part cannot, and does not count here. Frames are compared as thumbnails. A chain
goes from the middle one of a scene in both directions: a frame is compared with a key frame as long as one factor
explains at least three quarters of the picture, and becomes the next key when none does, with motion for example.
A factor counts once it was seen to change the picture clearly, since small changes of a part look like one of all.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from i2i.images import Array, largest

_EXPLAINED, _CLEAR = 0.75, 2.0
"""The share of a picture that a factor must explain, and the mean change in grey levels at which it counts."""
_NOISE, _OF_CHANGE = 1.0, 0.2
"""What a factor may be off at a place of the thumbnail: so many levels, and so much of the change there."""
_LIT = 16
"""So many levels from black, or from white, a place must be to tell a factor."""
_TEXTURE, _ALIKE = 1.5, 0.5
"""A cut: thumbnails with at least this standard deviation in levels, and less than this correlation."""
_MOST = 4.0
"""Frames are made brighter or darker by this factor at most: beyond it, noise is all that is left."""
_STEADY = 0.99
"""A fade ends where a frame has so much of its scene's light."""


class Light(NamedTuple):
    """The light of a frame: gain * scene + offset, in grey levels of 255."""

    gain: float = 1.0
    offset: float = 0.0
    fades: bool = False
    """Whether the frame belongs to a fade to or from black or white, which shows in the output."""

    def undone(self, frame: Array) -> Array:
        """Return (H, W, 1 to 4) integers as the scene's light shows them, in uint16 if that changes anything."""
        gain = min(max(self.gain, 1 / _MOST), _MOST)
        if abs(gain - 1) < 1e-3:
            return frame
        offset = self.offset * (1 - gain) / (1 - self.gain)
        top = largest(frame.dtype)
        values = (np.arange(top + 1) * (255 / top) - offset) / (gain * 255)
        return _mapped(frame, values, np.uint16)

    def put_back(self, output: Array) -> Array:
        """Return an output (H, W, 1 to 4) of integers, with the fade that the frame belongs to."""
        if not self.fades:
            return output
        top = largest(output.dtype)
        return _mapped(output, self.gain * np.arange(top + 1) / top + self.offset / 255, output.dtype)


class Scene(NamedTuple):
    """Frames from `start` to before `stop`, between two cuts."""

    start: int
    stop: int
    lights: Sequence[Light] = ()
    """Of each of its frames; empty: none changes."""

    def light(self, number: int) -> Light:
        """Return the light of a frame, by its number in the clip."""
        return self.lights[number - self.start] if self.lights else Light()

    def samples(self, most: int) -> list[int]:
        """Return the numbers of at most so many frames, evenly spread over those whose light can be undone."""
        numbers = range(self.start, self.stop)
        usable = [one for one in numbers if 1 / _MOST <= self.light(one).gain <= _MOST] or list(numbers)
        return usable[:: -(-len(usable) // most)]


def scenes_of(thumbnails: Sequence[Array]) -> list[Scene]:
    """Return the scenes of a clip, in order, given a thumbnail of each frame."""
    edges, scenes = [0, *_cuts(thumbnails), len(thumbnails)], list[Scene]()
    for start, stop in itertools.pairwise(edges):
        from_dark = bool(scenes) and scenes[-1].lights[-1].fades
        scenes.append(Scene(start, stop, _with_fades(_lights(thumbnails[start:stop]), from_dark)))
    return scenes


def _cuts(thumbnails: Iterable[Array]) -> Iterator[int]:
    """Yield the numbers of frames that show something else than the last ones that showed anything."""
    last = None
    for number, one in enumerate(thumbnails):
        if one.std() < _TEXTURE:
            continue
        if last is not None and np.corrcoef(last, one)[0, 1] < _ALIKE:
            yield number
        last = one


def _lights(thumbnails: Sequence[Array]) -> list[Light]:
    """Return the light of each frame of a scene against that of middle brightness."""
    means = [one.mean() for one in thumbnails]
    middle = int(np.argsort(means, kind="stable")[len(means) // 2])
    forwards, backwards = _chain(thumbnails[middle:]), _chain(thumbnails[middle::-1])
    return [*reversed(backwards), *forwards[1:]]


def _chain(thumbnails: Sequence[Array]) -> list[Light]:
    """Return the light of each frame against the first one."""
    lights, key, key_light, clear, since = [Light()], thumbnails[0], Light(), False, 1
    for number, one in enumerate(thumbnails[1:], 1):
        found = _factor(key, one)
        if found is None:
            if not clear:  # small changes of a part, perhaps
                lights[since:] = [key_light] * (number - since)
            key, key_light, clear, since = one, lights[-1], False, number + 1
            lights.append(key_light)
            continue
        change = np.abs(found.gain * key + found.offset - key).mean()
        clear = clear or change >= _CLEAR
        lights.append(Light(found.gain * key_light.gain, found.gain * key_light.offset + found.offset))
    if not clear:
        lights[since:] = [key_light] * (len(lights) - since)
    return lights


def _factor(key: Array, frame: Array) -> Light | None:
    """Return the one factor towards black or white that makes most of `frame` out of `key`, or None."""
    best, least = None, np.inf
    for end in (0.0, 255.0):
        far = np.abs(key - end)
        if not (lit := far >= _LIT).any():
            continue
        gain = float(np.median(np.abs(frame[lit] - end) / far[lit]))
        predicted = gain * (key - end) + end
        clipped = (predicted < -_NOISE) | (predicted > 255 + _NOISE)  # where any factor would do
        off = np.abs(frame - predicted)
        allowed = _NOISE + _OF_CHANGE * np.minimum(np.abs(frame - key), np.abs(predicted - end))
        if ((off <= allowed) & ~clipped).mean() >= _EXPLAINED and off.mean() < least:
            best, least = Light(gain, end * (1 - gain)), off.mean()
    return best


def _with_fades(lights: Sequence[Light], from_dark: bool) -> list[Light]:
    """Mark the frames around those that are all but black or white, as long as the light grows away from them.

    from_dark: whether the frame before the first one is such a frame.
    """
    fading = [one.gain < 1 / _MOST for one in lights]
    fading[0] |= from_dark and lights[0].gain < _STEADY
    for numbers, back in ((range(1, len(lights)), -1), (range(len(lights) - 2, -1, -1), 1)):
        for number in numbers:
            before = lights[number + back].gain
            fading[number] |= fading[number + back] and before <= lights[number].gain < _STEADY
    return [one._replace(fades=fades) for one, fades in zip(lights, fading, strict=True)]


def _mapped(array: Array, values: Array, dtype: type | np.dtype) -> Array:
    """Return (H, W, C) integers with each one replaced by its entry of `values`, in 0 to 1; alpha stays."""
    top = largest(dtype)
    table = np.rint(np.clip(values, 0, 1) * top).astype(dtype)
    made = table[array]
    if array.shape[2] in (2, 4):
        made[:, :, -1] = array[:, :, -1].astype(dtype) * (top // largest(array.dtype))
    return made
