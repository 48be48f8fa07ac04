"""Interlaced videos: frames whose even and odd lines were seen at two moments, made whole by FFmpeg's bwdif."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any


def progressive(frames: Iterable[Any], stream: Any) -> Iterator[Any]:
    """Yield one frame of PyAV for each: interlaced ones made of the field that comes first, others as they are.

    The other lines are computed from their neighbours in place and time. frames: of `stream`, all of one size.
    """
    graph, times = None, deque[tuple[int | None, int]]()
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        graph = graph or _graph(stream)
        times.append((frame.pts, frame.duration))
        graph.push(frame)
        yield from _pulled(graph, stream, times)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, stream, times)


def _graph(stream: Any) -> Any:
    import av

    graph = av.filter.Graph()
    nodes = [
        graph.add_buffer(template=stream, time_base=stream.time_base),
        graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph: Any, stream: Any, times: deque[tuple[int | None, int]]) -> Iterator[Any]:
    """Yield the frames that are ready, with the times that they came with."""
    import av

    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        (frame.pts, frame.duration), frame.time_base = times.popleft(), stream.time_base
        yield frame
