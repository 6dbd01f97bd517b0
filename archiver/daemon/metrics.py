"""Publish figures for Prometheus, in a file for node_exporter or on an endpoint on loopback."""

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

#: Readable by all: the collector runs as another user, and the figures are not secret.
_FILE_MODE = 0o644
#: Between two updates. Shorter, and the queries for the figures take time from capturing. Longer, and Prometheus,
#: which usually asks every 15 s, gets old figures.
UPDATE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """The daemon's figures at one moment; times are Unix seconds, 0 for never.

    Most fields have the name of the metric without its prefix ``archiver_``.
    """

    versions: int
    bytes: int  # of all content objects, each counted once
    pending: int  # changed paths that are not archived yet
    oldest_pending_seconds: float  # 0 if nothing is pending
    skipped: int  # paths that are not archived for a reason
    last_scan: float
    last_event: float
    last_checkpoint: float
    watching: str  # one of the states of the watch, as in ``archiver.daemon.watch_state``
    free_bytes: int  # of the archive's filesystem
    replica_behind_materials: int
    replica_behind_bytes: int
    replica_behind_since: float


def measure(archive: Archive, snapshot: Snapshot, pipeline: Pipeline, watch_state: str) -> Gauges:
    """Measure the current figures; raises OSError or sqlite3.Error if the archive cannot be read.

    ``watch_state`` is one of the states in :mod:`archiver.daemon.watch_state`.
    """
    index = archive.index
    filesystem = os.statvfs(archive.root)
    newest_event = archive.journal.newest_event()
    last_checkpoint = index.last_checkpoint()
    last_checkpoint_time = last_checkpoint[1] if last_checkpoint else None
    replication_lag = read_replication_lag(archive)
    version_count = index.version_count()
    return Gauges(
        versions=version_count,
        bytes=index.new_content_bytes(),
        pending=pipeline.pending_count,
        oldest_pending_seconds=pipeline.oldest_pending_seconds,
        skipped=len(snapshot.skipped()),
        last_scan=_unix_seconds(snapshot.meta("last_scan")),
        last_event=_unix_seconds(newest_event.at if newest_event else None),
        last_checkpoint=_unix_seconds(last_checkpoint_time),
        watching=watch_state,
        free_bytes=filesystem.f_bavail * filesystem.f_frsize,
        replica_behind_materials=replication_lag.material_count,
        replica_behind_bytes=replication_lag.byte_count,
        replica_behind_since=_unix_seconds(replication_lag.waiting_since),
    )


def _unix_seconds(stamp: str | None) -> float:
    """Return a time (RFC 3339) as Unix seconds; 0 for None and for an empty text, which mean "never"."""
    return clock.parse_time(stamp).timestamp() if stamp else 0.0


#: Field of :class:`Gauges` -> help text of its metric; the name is published, with the prefix ``archiver_``.
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
    """Publish the newest figures, in a file or on an endpoint, as configured.

    Owns the endpoint's server and its thread; :meth:`close` ends both.
    """

    def __init__(self) -> None:
        """Publish nothing until :meth:`configure` is called."""
        self._textfile: Path | None = None
        #: Host and port.
        self._endpoint: tuple[str, int] | None = None
        # Objects of the Prometheus library, which is imported only if metrics are configured.
        self._server: Any = None
        self._registry: Any = None
        self._gauges: Gauges | None = None
        self._problem_counts: dict[str, int] = {}
        self._next_update = 0.0

    def configure(self, config: Config) -> None:
        """Adopt the settings, at the start and after a reload; :meth:`listen` and :meth:`write` use them.

        Closes an endpoint that is open at another address.
        """
        if config.metrics_listen != self._endpoint:
            self.close()
        self._textfile, self._endpoint = config.metrics_textfile, config.metrics_listen
        self._next_update = 0.0
        if self._registry is None and (self._textfile or self._endpoint):
            import prometheus_client

            self._registry = prometheus_client.CollectorRegistry()
            self._registry.register(self)

    @property
    def textfile(self) -> Path | None:
        """Return the path of the file for node_exporter, or None if none is configured."""
        return self._textfile

    @property
    def address(self) -> str:
        """Return host and port of the endpoint, for messages; empty if none is configured."""
        return ":".join(map(str, self._endpoint)) if self._endpoint else ""

    def is_due(self) -> bool:
        """Return True if a file or an endpoint is configured, and the figures are older than their period."""
        return bool(self._textfile or self._endpoint) and clock.monotonic_seconds() >= self._next_update

    def postpone(self) -> None:
        """Make the next figures due after a whole period, whether or not the update that follows succeeds."""
        self._next_update = clock.monotonic_seconds() + UPDATE_SECONDS

    def update(self, gauges: Gauges, problem_counts: Mapping[str, int]) -> None:
        """Replace the figures to publish.

        ``problem_counts`` maps a problem code to the number of problems since the start of the service.
        """
        self._gauges, self._problem_counts = gauges, dict(problem_counts)

    def listen(self) -> None:
        """Open the configured endpoint, unless it is open; raises OSError, for example if the port is taken."""
        if self._endpoint is not None and self._server is None:
            import prometheus_client

            host, port = self._endpoint
            self._server, _ = prometheus_client.start_http_server(port, host, self._registry)

    def write(self) -> None:
        """Write the figures to the configured file, if there is one; raises OSError."""
        if self._textfile is not None:
            import prometheus_client

            _write_for_all(self._textfile, prometheus_client.generate_latest(self._registry))

    def collect(self) -> Iterator[Any]:
        """Yield the figures as metrics of the Prometheus library; nothing before the first :meth:`update`.

        The library calls this for each file and each request, for the endpoint on the server's thread.
        """
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        gauges = self._gauges
        if gauges is None:
            return
        for name, help_text in _HELP.items():
            yield GaugeMetricFamily(f"archiver_{name}", help_text, value=getattr(gauges, name))
        watch_metric = GaugeMetricFamily("archiver_watching", "How changes become known.", labels=["mode"])
        watch_metric.add_metric([gauges.watching], 1)
        yield watch_metric
        problem_metric = CounterMetricFamily("archiver_problems", "Problems since the start.", labels=["kind"])
        for kind, count in sorted(self._problem_counts.items()):
            problem_metric.add_metric([kind], count)
        yield problem_metric

    def close(self) -> None:
        """Close the endpoint; the file stays, with the last figures."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _write_for_all(path: Path, data: bytes) -> None:
    """Replace a file at once, so that no reader sees half of it.  Raises OSError, with the old file in place.

    The new file is readable by all users, regardless of the umask.
    """
    temporary_path = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(temporary_path, "wb") as stream:
            os.fchmod(stream.fileno(), _FILE_MODE)
            stream.write(data)
        temporary_path.rename(path)
    except OSError:
        temporary_path.unlink(missing_ok=True)
        raise
