"""What a server counts, in the text format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ServerMetrics:
    """The counters of one server; docs/serve.md lists them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("i2i_requests", "Requests answered.", ["route", "method", "status"], registry=registry)
        self.seconds = Histogram(
            "i2i_request_seconds", "From the headers to the end.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.stages = Histogram(
            "i2i_stage_seconds", "Stages of a picture.", ["model", "stage"], buckets=_SECONDS, registry=registry
        )
        self.models = Counter("i2i_models", "Models opened and closed.", ["change"], registry=registry)
        self._gauges = {
            name: Gauge(f"i2i_{name}", help_, registry=registry)
            for name, help_ in (
                ("open_requests", "Requests that are arriving, waiting or computed."),
                ("waiting_jobs", "Pictures that wait for a thread."),
                ("running_jobs", "Pictures in work."),
                ("model_bytes", "Size of the files of all open models."),
            )
        }

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Let a gauge show what `read` returns."""
        self._gauges[name].set_function(read)

    def text(self) -> bytes:
        """Return all of them."""
        return generate_latest(self.registry)
