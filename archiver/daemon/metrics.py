"""Publish metrics for Prometheus, in a file for node_exporter or on an endpoint on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.intake.pipeline import Pipeline
from archiver.intake.scan_record import read_last_scan
from archiver.intake.snapshot import Snapshot
from archiver.replica.replica_status import read_replication_lag
from archiver.store.archive import Archive

#: Readable for all users: the collector runs as another user, and the metrics are not secret.
_FILE_MODE = 0o644
#: The time between two updates. With a shorter time, the queries for the gauges delay capturing. With a longer
#: time, Prometheus, which usually asks every 15 s, gets old values.
UPDATE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """The daemon's measured values at one moment.  Times are Unix seconds; 0 means never.

    Each field has the name of its metric without the prefix ``archiver_``.
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
    replica_held_back_bytes: int


def measure_gauges(
    archive: Archive, config: Config, snapshot: Snapshot, pipeline: Pipeline, watch_state_code: str
) -> Gauges:
    """Measure the current gauges; raises OSError or sqlite3.Error if the archive cannot be read.

    ``watch_state_code`` is one of the states in :mod:`archiver.daemon.watch_state`.
    """
    index = archive.index
    filesystem_stat = os.statvfs(archive.root)
    newest_event = archive.journal.newest_event()
    last_checkpoint = index.last_checkpoint()
    replication_lag = read_replication_lag(archive, config)
    version_count = index.version_count()
    return Gauges(
        versions=version_count,
        bytes=index.new_content_bytes(),
        pending=pipeline.pending_count,
        oldest_pending_seconds=pipeline.oldest_pending_seconds,
        skipped=len(snapshot.skipped()),
        last_scan=_unix_seconds(read_last_scan(snapshot, archive.root).time),
        last_event=_unix_seconds(newest_event.at if newest_event else None),
        last_checkpoint=_unix_seconds(last_checkpoint.time if last_checkpoint else None),
        watching=watch_state_code,
        free_bytes=filesystem_stat.f_bavail * filesystem_stat.f_frsize,
        replica_behind_materials=replication_lag.material_count,
        replica_behind_bytes=replication_lag.byte_count,
        replica_behind_since=_unix_seconds(replication_lag.waiting_since),
        replica_held_back_bytes=replication_lag.held_back.byte_count if replication_lag.held_back else 0,
    )


def _unix_seconds(time_text: str | None) -> float:
    """Return a time in RFC 3339 as Unix seconds; 0 for None or an empty text, which both mean "never"."""
    return clock.parse_time(time_text).timestamp() if time_text else 0.0


#: Field of :class:`Gauges` -> help text of its metric; the name is published, with the prefix ``archiver_``.
_HELP_TEXTS = {
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
    "replica_behind_since": "Since when the oldest of them has been waiting, Unix time; 0: nothing is missing.",
    "replica_held_back_bytes": "Bytes of new content that the replica does not have yet on purpose.",
}


class Metrics:
    """Publish the newest gauges, and the numbers of problems, in a file or on an endpoint, as configured.

    Owns the endpoint's server and its thread; :meth:`close` ends both.
    """

    def __init__(self) -> None:
        """Publish nothing until :meth:`configure` is called."""
        self._textfile: Path | None = None
        #: Host and port of the endpoint; None if none is configured.
        self._listen_address: tuple[str, int] | None = None
        # Objects of the Prometheus library, of type Any because it is imported only if metrics are configured.
        self._server: Any = None
        self._registry: Any = None
        self._gauges: Gauges | None = None
        self._problem_counts: dict[str, int] = {}
        self._next_update_at = 0.0

    def configure(self, config: Config) -> None:
        """Apply the settings at the start and after a reload, and make the next update due at once.

        If the address of the endpoint has changed, the endpoint is closed; :meth:`open_endpoint` opens it again.
        Raises ImportError if metrics are configured but the Prometheus library is missing.
        """
        if config.metrics_listen != self._listen_address:
            self.close()
        self._textfile, self._listen_address = config.metrics_textfile, config.metrics_listen
        self._next_update_at = 0.0
        if self._registry is None and (self._textfile or self._listen_address):
            import prometheus_client

            self._registry = prometheus_client.CollectorRegistry()
            self._registry.register(self)

    @property
    def textfile(self) -> Path | None:
        """Return the path of the file for node_exporter, or None if none is configured."""
        return self._textfile

    @property
    def endpoint_address(self) -> str:
        """Return host and port of the endpoint, for messages; empty if none is configured."""
        return ":".join(map(str, self._listen_address)) if self._listen_address else ""

    def is_update_due(self) -> bool:
        """Return True if a file or an endpoint is configured, and the time of the next update has come."""
        return bool(self._textfile or self._listen_address) and clock.monotonic_seconds() >= self._next_update_at

    def schedule_next_update(self) -> None:
        """Make the next update due in ``UPDATE_SECONDS``, whether or not the present one succeeds."""
        self._next_update_at = clock.monotonic_seconds() + UPDATE_SECONDS

    def replace_gauges(self, gauges: Gauges, problem_counts: Mapping[str, int]) -> None:
        """Replace the gauges and the numbers of problems to publish.

        ``problem_counts`` maps a problem code to the number of problems since the start of the service.
        """
        self._gauges, self._problem_counts = gauges, dict(problem_counts)

    def open_endpoint(self) -> None:
        """Open the configured endpoint, unless it is open; raises OSError, for example if the port is taken."""
        if self._listen_address is not None and self._server is None:
            import prometheus_client

            host, port = self._listen_address
            self._server, _ = prometheus_client.start_http_server(port, host, self._registry)

    def write_textfile(self) -> None:
        """Write the metrics to the configured file, if any; raises OSError."""
        if self._textfile is not None:
            import prometheus_client

            _replace_public_file(self._textfile, prometheus_client.generate_latest(self._registry))

    def collect(self) -> Iterator[Any]:
        """Yield the metrics as objects of the Prometheus library; nothing before :meth:`replace_gauges`.

        The library calls this for each file and each request, for the endpoint on the server's thread.
        """
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        gauges = self._gauges
        if gauges is None:
            return
        for field_name, help_text in _HELP_TEXTS.items():
            yield GaugeMetricFamily(f"archiver_{field_name}", help_text, value=getattr(gauges, field_name))
        watch_metric = GaugeMetricFamily("archiver_watching", "How changes become known.", labels=["mode"])
        watch_metric.add_metric([gauges.watching], 1)
        yield watch_metric
        problem_metric = CounterMetricFamily("archiver_problems", "Problems since the start.", labels=["kind"])
        # The label keeps the older name "kind" for the problem's code.
        for problem_code, problem_count in sorted(self._problem_counts.items()):
            problem_metric.add_metric([problem_code], problem_count)
        yield problem_metric

    def close(self) -> None:
        """Close the endpoint; the file stays, with the last metrics."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _replace_public_file(path: Path, file_content: bytes) -> None:
    """Replace a file atomically with a file that all users can read; no reader sees an incomplete file.

    Raises OSError on failure; the old file then stays in place.
    """
    temporary_path = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(temporary_path, "wb") as temporary_file:
            os.fchmod(temporary_file.fileno(), _FILE_MODE)
            temporary_file.write(file_content)
        temporary_path.rename(path)
    except OSError:
        temporary_path.unlink(missing_ok=True)
        raise
