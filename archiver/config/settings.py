"""Validated settings, read from ``archiver.toml``."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from archiver.config.bucket_access import BucketAccess, access_of
from archiver.config.desk import Desk, desk_of
from archiver.config.location import HERE, find, read_text
from archiver.config.toml_document import TomlDocument
from archiver.errors import ConfigProblem, Phrase
from archiver.profiles import DEFAULT, FLOOR_YEARS, PROFILES

#: A typing error such as 30000 must not lock materials past the calendar's end.
CEILING_YEARS = 1000

#: Between the last approval of a disposal and the deletion; may be set longer, not shorter than a day.
COOLING_OFF_DAYS = 7

LAYOUT_SUBMISSION = "{filing}/{submission}"
LAYOUT_FILING = "{filing}"
LAYOUTS = (LAYOUT_SUBMISSION, LAYOUT_FILING)

DEFAULT_IGNORE = (
    "~$*",
    ".~lock*",
    "*.swp",
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
    "*.crdownload",
    "*.part",
    "*.partial",
    "*.download",
)


@dataclass(frozen=True, slots=True)
class FilingSettings:
    """What is set for one filing only; None: as for all."""

    min_version_interval_minutes: float | None = None
    profiles: tuple[str, ...] = ()
    #: By the submission's folder name: further profiles for it alone.
    submissions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Files, or with ``git:`` before them repositories, whose releases are changes of the algorithm.
    signals: tuple[str, ...] = ()
    #: Addresses of the company's own pages that must display the filing number.
    pages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a person may set; times are seconds unless named otherwise."""

    source: Path
    archive: Path
    watch: Path
    layout: str = LAYOUT_SUBMISSION
    settle_seconds: float = 5.0
    maximum_delay_seconds: float = 300.0
    scan_minutes: float = 15.0
    poll_seconds: float = 30.0
    min_version_interval_minutes: float = 0.0
    filings: Mapping[str, FilingSettings] = field(default_factory=dict)
    metrics_textfile: Path | None = None
    metrics_listen: tuple[str, int] | None = None
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    retention_years: int = FLOOR_YEARS
    profiles: tuple[str, ...] = (DEFAULT,)
    timezone: str = "Asia/Shanghai"
    hold_while_live: bool = True
    cooling_off_days: int = COOLING_OFF_DAYS
    #: Materials that go into no package unless somebody says so.
    sensitive: tuple[str, ...] = ()
    #: Words in the names of materials that a kind of submission should hold, where not as by default.
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Language of messages and reminders: zh, en; empty: as the locale says.
    lang: str = ""
    desk: Desk = field(default_factory=Desk)
    replica: BucketAccess = field(default_factory=BucketAccess)
    #: The time-stamp authority (RFC 3161); what its tokens must lead to was pinned at init.
    timestamp_url: str = ""
    #: A restore is rehearsed this often (0: never), with this many materials.
    drill_days: int = 30
    drill_files: int = 100
    #: SM3 digests (GB/T 32905) beside SHA-256 in manifests.
    sm3: bool = False
    #: Who may read the archive's files, and who of them may act through the daemon.
    read_group: str = ""
    act_group: str = ""
    #: What the file still names that this release does without, and what to do.
    warnings: tuple[Phrase, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which days end and times without a zone are read."""
        return ZoneInfo(self.timezone)

    def min_version_interval_seconds(self, filing_folder: bytes) -> float:
        """The least time between two versions of a submission of that filing; 0: none."""
        filing = self.filings.get(os.fsdecode(filing_folder))
        minutes = filing.min_version_interval_minutes if filing is not None else None
        return 60 * (self.min_version_interval_minutes if minutes is None else minutes)


def in_force(explicit: str | None, environment: Mapping[str, str]) -> Config:
    """Find the configuration, and read it; raises as :func:`load`.

    One that nobody named, but that lies in the current folder, has to belong to somebody trusted.
    """
    named = explicit or environment.get("ARCHIVER_CONFIG")
    source = find(explicit, environment)
    return load(source, is_found=not named and source == HERE)


def load(source: Path, *, is_found: bool = False) -> Config:
    """Read and validate ``source``; ``is_found``: nobody named it.

    Raises ConfigProblem, and StorageProblem where it may not be read.
    """
    text = read_text(source, is_found=is_found)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigProblem(
            "The configuration file {path} is not valid TOML: {reason}. Nothing was changed. Mend that line.",
            path=source,
            reason=error,
        ) from None
    return _validate(TomlDocument(source, document))


def _validate(document: TomlDocument) -> Config:
    document.check_keys()
    layout = document.get("watch", "layout", LAYOUT_SUBMISSION)
    if layout not in LAYOUTS:
        raise document.problem("watch.layout", 'must be "{{filing}}/{{submission}}" or "{{filing}}"')
    hold = document.get("retention", "hold_while_live", True)
    if not isinstance(hold, bool):
        raise document.problem("retention.hold_while_live", "must be true or false")
    config = Config(
        source=document.source,
        archive=document.path("archive"),
        watch=document.path("watch"),
        layout=layout,
        settle_seconds=document.number("watch", "settle_seconds", 5.0, 0.0),
        maximum_delay_seconds=document.number("watch", "maximum_delay_seconds", 300.0, 1.0),
        scan_minutes=document.number("watch", "scan_minutes", 15.0, 0.01),
        poll_seconds=document.number("watch", "poll_seconds", 30.0, 0.1),
        min_version_interval_minutes=document.number("watch", "min_version_interval_minutes", 0.0, 0.0),
        filings=_filings(document),
        metrics_textfile=_textfile(document),
        metrics_listen=_listen(document),
        ignore=document.texts("watch", "ignore", list(DEFAULT_IGNORE)),
        retention_years=_years(document),
        profiles=_profiles(document, "retention.profiles", document.get("retention", "profiles", [DEFAULT])),
        timezone=document.timezone(),
        hold_while_live=hold,
        cooling_off_days=_cooling_off_days(document),
        sensitive=document.texts("sensitive", "patterns", []),
        expected={kind: document.texts("expected", kind, []) for kind in document.section("expected")},
        desk=desk_of(document),
        replica=access_of(document),
        warnings=document.warnings(),
        lang=_lang(document),
        timestamp_url=_url(document),
        drill_days=_whole(document, "drill_days", 30, 0),
        drill_files=_whole(document, "drill_files", 100, 1),
        sm3=_sm3(document),
        read_group=document.group("read_group"),
        act_group=document.group("act_group"),
    )
    check_places(config.archive, config.watch)
    return config


def _filings(document: TomlDocument) -> dict[str, FilingSettings]:
    filings = {}
    for name, settings in document.tables.get("filings", {}).items():
        where = f"filings.{name}"
        minutes = settings.get("min_version_interval_minutes")
        if minutes is not None:
            minutes = document.as_number(f"{where}.min_version_interval_minutes", minutes, 0.0)
        submissions = settings.get("submissions", {})
        if not isinstance(submissions, dict):
            raise document.problem(f"{where}.submissions", "must be a table in square brackets")
        filings[_folder(name)] = FilingSettings(
            minutes,
            _profiles(document, f"{where}.profiles", settings.get("profiles", [])),
            {
                _folder(each): _profiles(document, f"{where}.submissions.{each}", given)
                for each, given in submissions.items()
            },
            tuple(map(_folder, document.as_texts(f"{where}.signals", settings.get("signals", [])))),
            document.as_texts(f"{where}.pages", settings.get("pages", [])),
        )
    return filings


def _folder(name: str) -> str:
    # The file is UTF-8 whatever the locale, and a path is its bytes.
    return os.fsdecode(name.encode("utf-8"))


def _profiles(document: TomlDocument, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise document.problem(key, "must be a list of profiles: {known}", known=", ".join(PROFILES))
    for each in value:
        if each not in PROFILES:
            raise document.problem(
                key, "names {profile}, which is not one of: {known}", profile=each, known=", ".join(PROFILES)
            )
    return tuple(value)


def _textfile(document: TomlDocument) -> Path | None:
    value = document.get("metrics", "textfile", None)
    if value is None:
        return None
    if not isinstance(value, str) or not value.endswith(".prom"):
        # node_exporter reads nothing else.
        raise document.problem("metrics.textfile", "must name a file that ends in .prom")
    return Path(os.path.abspath(document.source.parent / value))


def _listen(document: TomlDocument) -> tuple[str, int] | None:
    value = document.get("metrics", "listen", None)
    if value is None:
        return None
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdigit() or not 0 < int(port) < 65536:
        raise document.problem("metrics.listen", "must be a loopback address and a port, as in 127.0.0.1:9750")
    return host.strip("[]"), int(port)


def _years(document: TomlDocument) -> int:
    value = document.get("retention", "years", FLOOR_YEARS)
    if isinstance(value, bool) or not isinstance(value, int) or value > CEILING_YEARS:
        raise document.problem(
            "retention.years", "must be a whole number of years, {floor} or more", floor=FLOOR_YEARS
        )
    if value < FLOOR_YEARS:
        raise document.problem(
            "retention.years",
            "is {value}, but filing materials are kept at least {floor} years",
            value=value,
            floor=FLOOR_YEARS,
        )
    return value


def _lang(document: TomlDocument) -> str:
    value = document.get("archive", "lang", "")
    if value not in ("", "zh", "en"):
        raise document.problem("archive.lang", 'must be "zh" or "en"')
    return str(value)


def _url(document: TomlDocument) -> str:
    value = document.get("timestamp", "url", "")
    if not isinstance(value, str) or (value and not value.startswith(("http://", "https://"))):
        raise document.problem("timestamp.url", "must be an address that begins with http:// or https://")
    return value


def _whole(document: TomlDocument, key: str, default: int, least: int) -> int:
    value = document.get("evidence", key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 100_000:
        raise document.problem(f"evidence.{key}", "must be a whole number, {least} or more", least=least)
    return value


def _sm3(document: TomlDocument) -> bool:
    value = document.get("evidence", "sm3", False)
    if not isinstance(value, bool):
        raise document.problem("evidence.sm3", "must be true or false")
    if value and "sm3" not in hashlib.algorithms_available:
        raise document.problem("evidence.sm3", "is true, but this system's OpenSSL has no SM3")
    return value


def _cooling_off_days(document: TomlDocument) -> int:
    value = document.get("retention", "cooling_off_days", COOLING_OFF_DAYS)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 3650:
        raise document.problem("retention.cooling_off_days", "must be a whole number of days, 1 or more")
    return value


def check_places(archive: Path, watch: Path) -> None:
    """Refuse an archive inside the watched folder and the other way round.

    The archive would archive itself, or the watched folder would be written.
    """
    inner, outer = _resolved(archive), _resolved(watch)
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ConfigProblem(
            "The archive {archive} and the watched folder {watch} lie inside one another. "
            "Nothing was changed. Choose two separate folders.",
            archive=archive,
            watch=watch,
        )


def _resolved(path: Path) -> Path:
    """The path without links, without asking a filesystem mounted at ``path``: it may hang."""
    place = Path(os.path.realpath(path.parent), path.name)
    try:
        return Path(os.path.realpath(Path(place.parent, os.readlink(place))))
    except OSError:
        return place
