"""A few threads that compute, and a queue before them that has an end."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from i2i.serving.problems import HttpProblem

T = TypeVar("T")
_MEMORY = 0.2
"""Weight of the newest job in the running mean of their times."""


class Gone(Exception):
    """The client hung up; nobody waits for the answer."""


class JobQueue:
    """Runs jobs in `workers` threads while `limit` others wait. All methods belong to the thread of the event loop."""

    def __init__(self, workers: int, limit: int, timeout_s: float):
        self.workers, self.limit, self.timeout_s = workers, limit, timeout_s
        self.inside = 0
        """Jobs that wait or run, also those whose client is gone but whose thread is not done yet."""
        self.mean_s = 1.0
        """Running mean of what a job takes."""
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="serve")

    @property
    def waiting(self) -> int:
        """Jobs that wait for a thread."""
        return max(self.inside - self.workers, 0)

    async def run(
        self, job: Callable[[threading.Event], T], gone: Callable[[], Coroutine[Any, Any, None]]
    ) -> tuple[T, float]:
        """Return the result of a job, and the seconds that it waited; `job` should end soon once its event is set.

        gone: ends when nobody waits any more. Raises HttpProblem when the queue is full or time is up, Gone, and what
        the job raises.
        """
        if self.inside >= self.workers + self.limit:
            raise self._busy(f"One request more, while {self.waiting} wait.", f"At most {self.limit} may wait.")
        stop, begun, asked = threading.Event(), list[float](), time.perf_counter()

        def timed() -> T:
            begun.append(time.perf_counter())
            return job(stop)

        future = self._submit(timed, begun)
        answer = asyncio.wrap_future(future)
        leaving: asyncio.Future[Any] = asyncio.create_task(gone())
        try:
            either: set[asyncio.Future[Any]] = {answer, leaving}
            done, _ = await asyncio.wait(either, timeout=self.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if answer in done:
                return answer.result(), begun[0] - asked
            if leaving in done:
                raise Gone
            raise self._too_late(begun)
        finally:
            stop.set()
            leaving.cancel()
            answer.cancel()  # and with it a job that no thread has begun

    def close(self) -> None:
        """Let the running jobs end."""
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, timed: Callable[[], T], begun: list[float]) -> "Future[T]":
        loop = asyncio.get_running_loop()
        future = self._pool.submit(timed)
        self.inside += 1

        def left() -> None:
            self.inside -= 1
            if begun:
                self.mean_s += _MEMORY * (time.perf_counter() - begun[0] - self.mean_s)

        def ended(future: "Future[Any]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(left)

        future.add_done_callback(ended)
        return future

    def _too_late(self, begun: list[float]) -> HttpProblem:
        """Return the answer when time is up: to come again, unless the job alone takes that long."""
        received = f"A request that was not answered within {self.timeout_s:g} s."
        if begun and time.perf_counter() - begun[0] > self.timeout_s / 2:
            allowed = "What this device computes in that time."
            return HttpProblem(422, "takes_too_long", received, allowed, "Send a smaller picture.")
        return self._busy(received, "Requests that take no longer, waiting included.")

    def _busy(self, received: str, allowed: str) -> HttpProblem:
        wait_s = min(max(math.ceil(self.mean_s * (self.waiting + 1) / self.workers), 1), 60)
        return HttpProblem(503, "busy", received, allowed, f"Send it again in {wait_s} s.", wait_s)
