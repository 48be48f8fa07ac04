"""Calls from several threads as one batch."""

import threading

import numpy as np
import pytest

from i2i.runtime.batches import Batches


class Device:
    """Doubles its input; holds the first call until released, and records all batch sizes."""

    def __init__(self, room=100):
        self.sizes, self.room = [], room
        self.busy, self.go = threading.Event(), threading.Event()

    def run(self, batch):
        self.busy.set()
        assert self.go.wait(10)
        if len(batch) > self.room:
            raise MemoryError
        self.sizes.append(len(batch))
        return batch * 2


def call_from_threads(batches, device, arrays):
    """Let each array come from its own thread while the device is busy with the first; return what came back."""
    back = [None] * len(arrays)

    def call(k):
        try:
            back[k] = batches(arrays[k])
        except MemoryError as error:
            back[k] = error

    threads = [threading.Thread(target=call, args=(k,)) for k in range(len(arrays))]
    threads[0].start()
    assert device.busy.wait(10)
    for number, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(batches._waiting) < number and thread.is_alive():
            pass
    device.go.set()
    for thread in threads:
        thread.join(10)
    return back


def numbered(k, side=4):
    return np.full((1, 3, side, side), k, np.float32)


def test_what_waits_goes_together_by_size():
    device = Device()
    arrays = [numbered(0), numbered(1), numbered(2, side=8), numbered(3), numbered(4), numbered(5, side=8)]
    back = call_from_threads(Batches(device.run, [], most=2), device, arrays)
    assert device.sizes == [1, 2, 2, 1]
    for array, output in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(output, array * 2)


@pytest.mark.parametrize("room", [1, 3, 8])
def test_batches_are_halved_until_they_fit(room):
    device, notes = Device(room), []
    arrays = [numbered(k) for k in range(9)]
    back = call_from_threads(Batches(device.run, notes, most=8), device, arrays)
    for array, output in zip(arrays, back, strict=True):
        np.testing.assert_array_equal(output, array * 2)
    assert sum(device.sizes) == 9
    assert len(notes) == {1: 3, 3: 2, 8: 0}[room]


def test_one_that_is_too_much_alone_is_an_error():
    device = Device(room=0)
    back = call_from_threads(Batches(device.run, []), device, [numbered(k) for k in range(3)])
    assert all(isinstance(output, MemoryError) for output in back)
