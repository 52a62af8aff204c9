"""The metrics as ``prometheus_client`` has them. Loaded when they are asked for, as that is an extra."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from autobahnlike.monitoring.metrics import METRICS, Metric, Samples

__all__ = ("MonitorCollector", "new_registry", "render")


class MonitorCollector(Collector):
    """Reads the metrics when they are asked for.

    Args:
        read: gives them.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[Metric, Samples]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Family]:
        """Return them with their samples."""
        for metric, samples in self._read():
            yield _family(metric, samples)

    def describe(self) -> Iterable[Family]:
        """Return all that there can be: so that one is found by its name, and that nothing else has that."""
        return [_family(metric, {}) for metrics in METRICS.values() for metric in metrics]


def _family(metric: Metric, samples: Samples) -> Family:
    if metric.kind == "histogram":
        histograms = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for labels, histogram in samples.items():
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*histogram.bounds, float("inf")), list(histogram.counts), strict=True):
                total += count
                buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
            histograms.add_metric(labels, buckets, histogram.sum)
        return histograms
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family


def new_registry() -> CollectorRegistry:
    """Return a registry of its own, with what is known of the process and of Python."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry, accept: str, query: str) -> tuple[bytes, str]:
    """Return all metrics of a registry in the format that a client asks for, and its media type.

    Args:
        registry: the registry.
        accept: the client's Accept.
        query: of the URL; ``name[]=...`` is a metric that is asked for alone, and can be repeated.
    """
    encode, media_type = choose_encoder(accept)
    names: Sequence[str] = parse_qs(query).get("name[]", ())
    return encode(registry.restricted_registry(names) if names else registry), media_type
