"""Declare the table of settings: each key of ``archiver.toml`` is a field of these classes or of their parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from archiver.config import value_types as types
from archiver.config.bucket_access import BucketAccess
from archiver.config.desk import DeskSettings
from archiver.config.filing_settings import BYTE_COUNT, FilingSettings
from archiver.config.schema import Effect, Setting, declared_settings, required_setting, setting, tables_by_name
from archiver.errors import LazyMessage
from archiver.model import KINDS
from archiver.profiles import DEFAULT, FLOOR_YEARS, PERMANENT, PROFILES

#: The longest retention that a file may set. With a lower limit, a long but sensible period is refused. With a
#: higher limit, a typing error such as 30000 years is accepted, and a retention can never be shortened again.
CEILING_YEARS = 1000

#: The watched folder has a folder for each filing, and in it a folder for each submission.
LAYOUT_SUBMISSION = "{filing}/{submission}"
#: The watched folder has only a folder for each filing; its submissions are numbered 01, 02, ...
LAYOUT_FILING = "{filing}"
LAYOUTS = (LAYOUT_SUBMISSION, LAYOUT_FILING)

#: Table -> its help text, in the order of a new file.
TABLE_SUMMARIES: Mapping[str, LazyMessage] = {
    "archive": LazyMessage("Archive."),
    "watch": LazyMessage("Watched folder, and when a change becomes a version."),
    "timestamp": LazyMessage("Timestamp authority. Its certificates were pinned when the archive was created."),
    "retention": LazyMessage(
        "Retention of versions. The longest period applies. A longer retention waits until a person accepts it "
        "(`archiver retention accept`); accepted retention cannot be shortened."
    ),
    "access": LazyMessage("Groups on this server that can use the archive (default: only the archive owner)."),
    "evidence": LazyMessage("Restore drills, and checksums in manifests."),
    "sensitive": LazyMessage("Files that only the archive owner can read."),
    "expected": LazyMessage(
        "Files that a submission is expected to contain; `check`, `submit`, and the report list missing ones."
    ),
    "reminders": LazyMessage("Deadline reminders."),
    "changes": LazyMessage("Files that show a change of the filed information."),
    "display": LazyMessage("Checks of the pages that must display the filing number."),
    "notices": LazyMessage("Notices from the regulator."),
    "replica": LazyMessage("Access to the bucket. To set the bucket, run: archiver replica init"),
    "metrics": LazyMessage("Metrics for Prometheus."),
    "filings": LazyMessage(
        "Settings of single filings: one table for each, named after the folder of the filing."
    ),
}


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a file, checked, with absolute paths.

    Some fields are named more precisely than their keys in the file.
    """

    #: Path of the file.
    source: Path
    archive: Path = required_setting(
        "archive.path",
        types.FOLDER,
        summary=LazyMessage("Archive folder. To move it: stop the service, move the folder, start the service."),
        example="/var/lib/archiver/archive",
        effect=Effect.RESTART,
    )
    watch: Path = required_setting(
        "watch.path",
        types.FOLDER,
        summary=LazyMessage("Watched folder; never modified."),
        example="/srv/filings",
        effect=Effect.RELOAD,
    )
    #: Empty: the language of the locale.
    lang: str = setting(
        "archive.lang",
        types.choice(("zh", "en"), LazyMessage('must be "zh" or "en"'), when_empty=""),
        default="",
        summary=LazyMessage("Language of messages and reminders (default: from the locale)."),
        example="zh",
    )
    layout: str = setting(
        "watch.layout",
        types.choice(LAYOUTS, LazyMessage('must be "{{filing}}/{{submission}}" or "{{filing}}"')),
        default=LAYOUT_SUBMISSION,
        summary=LazyMessage(
            'Meaning of the folder levels: "{{filing}}/{{submission}}", or "{{filing}}" with submissions '
            "numbered 01, 02, ..."
        ),
        effect=Effect.NEVER,
    )
    settle_seconds: float = setting(
        "watch.settle_seconds",
        types.number(0),
        default=5.0,
        summary=LazyMessage("Seconds without a change until a file has settled and is captured."),
    )
    maximum_delay_seconds: float = setting(
        "watch.maximum_delay_seconds",
        types.number(1),
        default=300.0,
        summary=LazyMessage(
            "Seconds after which a file that does not settle is captured nevertheless, if the file can be read "
            "completely."
        ),
    )
    scan_minutes: float = setting(
        "watch.scan_minutes",
        types.number(0.01),
        default=15.0,
        summary=LazyMessage("Minutes between two full comparisons of the watched folder with the archive."),
    )
    poll_seconds: float = setting(
        "watch.poll_seconds",
        types.number(0.1),
        default=30.0,
        summary=LazyMessage(
            "Seconds between two full comparisons if kernel notifications are incomplete (NFS, SMB, FUSE, too "
            "few inotify watches)."
        ),
    )
    reread_days: int = setting(
        "watch.reread_days",
        types.whole_number(0, 36_500),
        default=7,
        summary=LazyMessage(
            "Days after which the service reads all files again on filesystems that do not store when a file was "
            "changed (sshfs, rclone, FAT); 0: only before archiver submit."
        ),
    )
    min_version_interval_minutes: float = setting(
        "watch.min_version_interval_minutes",
        types.number(0),
        default=0.0,
        summary=LazyMessage(
            "Minutes in which saved drafts are combined into one version (0: every save is a version)."
        ),
    )
    max_file_bytes: int | None = setting(
        "watch.max_file_bytes",
        BYTE_COUNT,
        default=None,
        summary=LazyMessage(
            "Largest file that is captured, in bytes (default: no limit); a sparse file counts with the space "
            "that it occupies. archiver status lists larger files."
        ),
        example=10_000_000_000,
    )
    filing_quota_bytes: int | None = setting(
        "watch.filing_quota_bytes",
        BYTE_COUNT,
        default=None,
        summary=LazyMessage(
            "Bytes that the newest versions of a filing may have together (default: no limit). archiver status "
            "lists files that do not fit; everything else is captured."
        ),
        example=100_000_000_000,
    )
    ignore: tuple[str, ...] = setting(
        "watch.ignore",
        types.TEXTS,
        default=(),
        summary=LazyMessage(
            "Names of files and folders that are not captured, in addition to the built-in patterns "
            "(docs/ignored-names.md): * and ? are wildcards, a slash at the end restricts a pattern to folders, "
            "and an exclamation mark at the beginning makes an exception. The last matching pattern decides. "
            "archiver status lists each such file and folder."
        ),
        example=["*.bak", "草稿/", "!*.download"],
    )
    #: Its tokens must be signed under a certificate that ``archiver init`` pinned.
    timestamp_url: str = setting(
        "timestamp.url",
        types.WEB_ADDRESS,
        default="",
        summary=LazyMessage("URL of the timestamp authority (RFC 3161)."),
        example="https://tsa.example.com",
    )
    retention_years: int = setting(
        "retention.years",
        types.retention_years(CEILING_YEARS),
        default=FLOOR_YEARS,
        summary=LazyMessage("Retention in calendar years, at least 3."),
    )
    profiles: tuple[str, ...] = setting(
        "retention.profiles",
        types.PROFILE_NAMES,
        default=(DEFAULT,),
        summary=LazyMessage(
            "Retention profiles (with their calendar years): {profiles}.",
            profiles=", ".join(
                profile.name if profile.years == PERMANENT else f"{profile.name} ({profile.years})"
                for profile in PROFILES.values()
            ),
        ),
    )
    timezone: str = setting(
        "retention.timezone",
        types.TIME_ZONE,
        default="Asia/Shanghai",
        summary=LazyMessage("Time zone for the end of a day and for times without a zone."),
    )
    hold_while_live: bool = setting(
        "retention.hold_while_live",
        types.SWITCH,
        default=True,
        summary=LazyMessage("Retain all versions of a filing while the filing is live."),
    )
    cooling_off_days: int = setting(
        "retention.cooling_off_days",
        types.whole_number(1, 3650, LazyMessage("must be a whole number of days, at least 1")),
        default=7,
        summary=LazyMessage(
            "Days that must pass between the last approval of a disposal and the deletion, by the compliance "
            "clock."
        ),
    )
    read_group: str = setting(
        "access.read_group",
        types.GROUP,
        default="",
        summary=LazyMessage("Group that can read the archive."),
        example="compliance",
    )
    act_group: str = setting(
        "access.act_group",
        types.GROUP,
        default="",
        summary=LazyMessage("Group that can submit, hold, and approve through the service."),
        example="compliance-officers",
    )
    drill_days: int = setting(
        "evidence.drill_days",
        types.count(0),
        default=30,
        summary=LazyMessage("Days between two restore drills (0: never)."),
    )
    drill_files: int = setting(
        "evidence.drill_files",
        types.count(1),
        default=100,
        summary=LazyMessage("Number of files restored in a drill."),
    )
    sm3: bool = setting(
        "evidence.sm3",
        types.SM3_SWITCH,
        default=False,
        summary=LazyMessage("SM3 checksums (GB/T 32905) in addition to SHA-256 in manifests."),
    )
    sensitive: tuple[str, ...] = setting(
        "sensitive.patterns",
        types.TEXTS,
        default=(),
        summary=LazyMessage(
            "File name patterns; matching files are left out of inspection packages unless --with-sensitive is "
            "given."
        ),
        example=["*身份证*"],
    )
    expected: Mapping[str, tuple[str, ...]] = setting(
        "expected",
        types.lists_by_key(types.TEXTS, KINDS),
        default={},
        summary=LazyMessage(
            "Words expected in file names, by submission kind ({kinds}) (default: built-in words).",
            kinds=", ".join(KINDS),
        ),
        example={"first": ["算法备案承诺书", "落实算法安全主体责任基本情况", "算法安全自评估报告", "拟公示内容"]},
    )
    # Two parts with further settings, whose keys are, for example, reminders.hour and replica.region.
    desk: DeskSettings = field(default_factory=DeskSettings)
    replica: BucketAccess = field(default_factory=BucketAccess)
    metrics_textfile: Path | None = setting(
        "metrics.textfile",
        types.METRICS_FILE,
        default=None,
        summary=LazyMessage(
            "File for the textfile collector of node_exporter. After a change, run: archiver service install"
        ),
        example="/var/lib/prometheus/node-exporter/archiver.prom",
    )
    metrics_listen: types.HostAndPort | None = setting(
        "metrics.listen",
        types.LOOPBACK,
        default=None,
        summary=LazyMessage("Loopback address where the service answers Prometheus."),
        example="127.0.0.1:9750",
    )
    filings: Mapping[str, FilingSettings] = tables_by_name("filings", FilingSettings)
    #: A message for each table of the file that this release does not use.
    warnings: tuple[LazyMessage, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone in which days end, and in which times without a zone are read."""
        return ZoneInfo(self.timezone)

    def min_version_interval_seconds(self, filing_folder: bytes) -> float:
        """Return the shortest time between two versions of a submission of the filing; 0 means no limit.

        ``filing_folder`` is the name of the filing's folder; the name may contain bytes that are not UTF-8.
        """
        filing_settings = self.filings.get(os.fsdecode(filing_folder))
        interval_minutes = filing_settings.min_version_interval_minutes if filing_settings is not None else None
        return 60 * (self.min_version_interval_minutes if interval_minutes is None else interval_minutes)

    def quota_bytes(self, filing_folder: bytes) -> int | None:
        """Return the quota of the filing whose folder is named ``filing_folder``; None for no limit."""
        filing_settings = self.filings.get(os.fsdecode(filing_folder))
        quota = filing_settings.quota_bytes if filing_settings is not None else None
        return self.filing_quota_bytes if quota is None else quota


def settings_by_table() -> dict[str, list[Setting]]:
    """Return the settings of each table, in the order of ``TABLE_SUMMARIES``.

    The key ``filings`` maps to the settings that each filing's table can have.
    """
    settings_of_table: dict[str, list[Setting]] = {table: [] for table in TABLE_SUMMARIES}
    for declared_setting in declared_settings(Config):
        settings_of_table[declared_setting.table].append(declared_setting)
    return settings_of_table | {"filings": list(declared_settings(FilingSettings))}
