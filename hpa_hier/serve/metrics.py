"""Metrics: what the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hpa_hier.serve.work.engine import Engine
from hpa_hier.serve.work.jobs import Jobs

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 120)
_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS")


class Metrics:
    """Counts requests, and reads what engine and jobs know of themselves."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("hpa_hier_requests", "Requests.", ("method", "status"), registry=self._registry)
        self._seconds = Histogram(
            "hpa_hier_request_seconds", "Seconds to answer a request.", buckets=_SECONDS, registry=self._registry
        )
        self._registry.register(_Gauges(engine, jobs))

    def count(self, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method if method in _METHODS else "other", str(status)).inc()
        self._seconds.observe(seconds)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return bytes(generate_latest(self._registry))


class _Gauges:
    """Read when they are asked for."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._engine, self._jobs = engine, jobs

    def collect(self) -> Iterator[Metric]:
        """Yield what there is now."""
        yield CounterMetricFamily("hpa_hier_images", "Images answered for.", value=self._engine.images)
        yield CounterMetricFamily("hpa_hier_passes", "Passes through the networks.", value=self._engine.passes)
        yield GaugeMetricFamily("hpa_hier_images_waiting", "Images that wait.", value=self._engine.waiting)
        yield GaugeMetricFamily("hpa_hier_seconds_per_image", "Seconds of late.", value=self._engine.per_image)
        yield GaugeMetricFamily("hpa_hier_jobs_active", "Jobs at work.", value=self._jobs.active)
        yield GaugeMetricFamily("hpa_hier_jobs_kept", "Jobs that are kept.", value=len(self._jobs.list()))
        replaced = sum(one.replaced for one in self._jobs.decoders)
        yield CounterMetricFamily("hpa_hier_decoders_replaced", "Decoding processes that ended early.", value=replaced)
