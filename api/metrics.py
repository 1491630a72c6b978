"""The Prometheus metrics of one server; every app has a registry of its own."""

from __future__ import annotations

from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_METHODS = frozenset(HTTPMethod)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters and histograms. Label values come from routes, statuses and outcomes, never from what a client
    wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def count(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=self.registry)

        def time(name: str, about: str, *labels: str) -> Histogram:
            return Histogram(name, about, labels, buckets=_SECONDS, registry=self.registry)

        self._requests = count("vitrine_http_requests", "Requests answered.", "method", "route", "status")
        self._latency = time("vitrine_http_request_seconds", "Time to the end of the answer.", "route")
        self._images = count("vitrine_images", "Uploaded images by outcome.", "outcome")
        self._encode = time("vitrine_encode_seconds", "Encoding the query of a search.")
        self._search = time("vitrine_search_seconds", "The engine's part of a search.")

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request, by the template of its route (``unmatched`` where there is none)."""
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def uploaded(self, outcome: str) -> None:
        """Count one uploaded image: added, known, updated or refused."""
        self._images.labels(outcome).inc()

    def searched(self, encode_ms: float, search_ms: float) -> None:
        """Count one search; the encoding counts only where something was encoded."""
        if encode_ms:
            self._encode.observe(encode_ms / 1000)
        self._search.observe(search_ms / 1000)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
