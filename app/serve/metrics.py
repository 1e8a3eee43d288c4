"""Counts for Prometheus: what versions counted, over all processes, and what waits now.

Source: Prometheus' documentation, "Metric and label naming".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from app.release import LARGEST_BATCH
from app.serve.service import Service
from app.serve.statistics import BUCKETS, Statistics

Counts = dict[tuple[str, str], Statistics]
SIZES = tuple(2**power for power in range(LARGEST_BATCH.bit_length()))  # ends of buckets, which have to stay the same
MODEL = ("model", "version")


class _Collector:
    """Gives the counts in the library's terms."""

    def __init__(self, service: Service, counts: Counts) -> None:
        self._service, self._counts = service, counts

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        requests = CounterMetricFamily(
            "convoy_requests", "Requests by how they ended: 200, or the status", labels=[*MODEL, "status"]
        )
        pictures = CounterMetricFamily("convoy_pictures", "Pictures that were answered", labels=MODEL)
        latency = HistogramMetricFamily("convoy_request_seconds", "From a request to its answer, answered ones", labels=MODEL)
        queued = CounterMetricFamily("convoy_queue_seconds", "That requests waited for a slot", labels=MODEL)
        running = CounterMetricFamily("convoy_run_seconds", "That the network ran", labels=MODEL)
        batches = HistogramMetricFamily("convoy_batch_pictures", "Pictures that ran together", labels=MODEL)
        for key, found in self._counts.items():
            requests.add_metric([*key, "200"], found.requests)
            for status, number in sorted(found.failures.items()):
                requests.add_metric([*key, str(status)], number)
            pictures.add_metric(key, found.pictures)
            latency.add_metric(
                key, _cumulative(zip(BUCKETS, found.latency, strict=False), found.requests), found.request_ns / 1e9
            )
            queued.add_metric(key, found.queue_ns / 1e9)
            running.add_metric(key, found.run_ns / 1e9)
            sizes = [(size, count) for size, (count, _) in found.batches.items()]
            counts = [(end, sum(count for size, count in sizes if end / 2 < size <= end)) for end in SIZES]
            within = _cumulative(counts, sum(count for _, count in sizes))
            batches.add_metric(key, within, sum(size * n for size, n in sizes))
        yield from (requests, pictures, latency, queued, running, batches)
        waiting = GaugeMetricFamily(
            "convoy_queue_pictures", "Pictures that wait now, in the process that was asked", labels=MODEL
        )
        for served in self._service.repository.all():
            waiting.add_metric((served.name, served.version), served.scheduler.waiting)
        yield waiting
        yield GaugeMetricFamily("convoy_ready", "1 while requests are welcome", value=int(self._service.ready))


def text(service: Service, counts: Counts, accepted: str) -> tuple[bytes, str]:
    """The counts in the format that the caller reads, and its type."""
    registry = CollectorRegistry()
    registry.register(_Collector(service, counts))
    try:
        encode, kind = choose_encoder(accepted)
    except (TypeError, ValueError):  # a version that is none
        encode, kind = choose_encoder("")
    return encode(registry), kind


def _cumulative(counts: Iterable[tuple[float, int]], total: int) -> list[tuple[str, float]]:
    """Buckets as Prometheus has them: each with all that is in the ones before."""
    found, seen = [], 0
    for end, count in counts:
        seen += count
        found.append((str(float(end)), float(seen)))
    return [*found, ("+Inf", float(total))]
