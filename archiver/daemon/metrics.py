"""Figures for Prometheus: a file for node_exporter, or an endpoint on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.intake.pipeline import Pipeline
from archiver.intake.snapshot import Snapshot
from archiver.replica.replica_status import read_replication_lag
from archiver.store.archive import Archive

_READABLE = 0o644
PERIOD_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """The daemon's figures at one moment; times are Unix seconds."""

    versions: int
    bytes: int
    pending: int
    oldest_pending_seconds: float
    skipped: int
    last_scan: float
    last_event: float
    last_checkpoint: float
    watching: str
    free_bytes: int
    replica_behind_materials: int
    replica_behind_bytes: int
    replica_behind_since: float


def measure(archive: Archive, snapshot: Snapshot, pipeline: Pipeline, watching: str) -> Gauges:
    """The figures of now."""
    index = archive.index
    volume = os.statvfs(archive.root)
    newest = archive.journal.head()
    scan = snapshot.meta("last_scan")
    signed = index.last_checkpoint()
    lag = read_replication_lag(archive)
    return Gauges(
        versions=index.counts()[0],
        bytes=index.stored(),
        pending=pipeline.pending_count,
        oldest_pending_seconds=pipeline.oldest_pending_seconds,
        skipped=len(snapshot.skipped()),
        last_scan=clock.parse(scan).timestamp() if scan else 0.0,
        last_event=clock.parse(newest.at).timestamp() if newest else 0.0,
        last_checkpoint=clock.parse(signed[1]).timestamp() if signed else 0.0,
        watching=watching,
        free_bytes=volume.f_bavail * volume.f_frsize,
        replica_behind_materials=lag.material_count,
        replica_behind_bytes=lag.byte_count,
        replica_behind_since=clock.parse(lag.waiting_since).timestamp() if lag.waiting_since else 0.0,
    )


_HELP = {
    "versions": "Versions in the archive.",
    "bytes": "Bytes of the content objects in the archive.",
    "pending": "Changes of the watched folder that are not archived yet.",
    "oldest_pending_seconds": "For how long the oldest of them has been waiting.",
    "skipped": "Paths that are left out, with a reason in archiver status.",
    "last_scan": "When everything was compared last, Unix time.",
    "last_event": "When the newest event was journalled, Unix time.",
    "last_checkpoint": "When the archive was signed last, Unix time.",
    "free_bytes": "Free space of the archive's filesystem.",
    "replica_behind_materials": "Materials that the replica does not have yet.",
    "replica_behind_bytes": "Bytes of content that the replica does not have yet.",
    "replica_behind_since": "When the oldest of them was captured, Unix time; 0: nothing is missing.",
}


class Metrics:
    """Keeps the newest figures where the configuration wants them."""

    def __init__(self) -> None:
        self._textfile: Path | None = None
        self._listen: tuple[str, int] | None = None
        self._server: Any = None
        self._registry: Any = None
        self._gauges: Gauges | None = None
        self._problems: dict[str, int] = {}
        self._next = 0.0

    def configure(self, config: Config) -> None:
        """Begin, or go on with other settings; what they ask for is done by :meth:`listen` and :meth:`write`."""
        if config.metrics_listen != self._listen:
            self.close()
        self._textfile, self._listen = config.metrics_textfile, config.metrics_listen
        self._next = 0.0
        if self._registry is None and (self._textfile or self._listen):
            import prometheus_client

            self._registry = prometheus_client.CollectorRegistry()
            self._registry.register(self)

    @property
    def textfile(self) -> Path | None:
        """The file, if there is to be one."""
        return self._textfile

    @property
    def address(self) -> str:
        """Where they are served; empty: nowhere."""
        return ":".join(map(str, self._listen)) if self._listen else ""

    def is_due(self) -> bool:
        """Whether somebody wants new figures now."""
        return bool(self._textfile or self._listen) and clock.monotonic() >= self._next

    def postpone(self) -> None:
        """Nobody is asked for figures again before the next period."""
        self._next = clock.monotonic() + PERIOD_SECONDS

    def update(self, gauges: Gauges, problems: Mapping[str, int]) -> None:
        """Take new figures."""
        self._gauges, self._problems = gauges, dict(problems)

    def listen(self) -> None:
        """Serve them, if that is wanted and not done yet; raises OSError, as where the port is taken."""
        if self._listen is not None and self._server is None:
            import prometheus_client

            host, port = self._listen
            self._server, _ = prometheus_client.start_http_server(port, host, self._registry)

    def write(self) -> None:
        """Write them to the file, if there is to be one; raises OSError."""
        if self._textfile is not None:
            import prometheus_client

            _write_for_all(self._textfile, prometheus_client.generate_latest(self._registry))

    def collect(self) -> Iterator[Any]:
        """What the Prometheus library asks for, on a thread of its own."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        gauges = self._gauges
        if gauges is None:
            return
        for name, text in _HELP.items():
            yield GaugeMetricFamily(f"archiver_{name}", text, value=getattr(gauges, name))
        watching = GaugeMetricFamily("archiver_watching", "How changes become known.", labels=["mode"])
        watching.add_metric([gauges.watching], 1)
        yield watching
        problems = CounterMetricFamily("archiver_problems", "Problems since the start.", labels=["kind"])
        for kind, count in sorted(self._problems.items()):
            problems.add_metric([kind], count)
        yield problems

    def close(self) -> None:
        """End the endpoint."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _write_for_all(path: Path, data: bytes) -> None:
    """Replace a file that another user's collector reads, whatever the umask; raises OSError."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as stream:
            os.fchmod(stream.fileno(), _READABLE)
            stream.write(data)
        aside.rename(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
