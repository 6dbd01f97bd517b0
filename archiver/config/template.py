"""The text of a new ``archiver.toml``."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from archiver.config.settings import Config
from archiver.errors import ConfigProblem

#: Of network filesystems, and where /proc is missing.
_NO_NAMELESS_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)


def write_new(path: Path, text: str) -> None:
    """Write a new file, whole or not at all, and never over another; raises OSError."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            # Without a name until it is whole: whoever is killed leaves nothing.
            descriptor = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as stream:
                _fill(stream, text)
                # With a folder, or Python calls link(2), which follows no link.
                os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=folder, follow_symlinks=True)
        except OSError as error:
            if error.errno not in _NO_NAMELESS_FILES:
                raise OSError(error.errno, error.strerror, os.fspath(path)) from None
            stream = open(path, "x", encoding="utf-8")  # noqa: SIM115 - what is there already is not ours to remove
            with _removed_unless_done(path), stream:
                _fill(stream, text)
        with _removed_unless_done(path):
            os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _removed_unless_done(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink()
        raise


def _fill(stream: TextIO, text: str) -> None:
    # Whatever the umask: one that others may write would not be used.
    os.fchmod(stream.fileno(), 0o644)
    stream.write(text)
    stream.flush()
    os.fsync(stream.fileno())


def render(config: Config) -> str:
    """The text of a new ``archiver.toml``; raises ConfigProblem for names TOML cannot hold."""
    return _TEMPLATE.format(
        archive=_quoted(config.archive),
        watch=_quoted(config.watch),
        layout=config.layout,
        years=config.retention_years,
        timestamp=_TIMESTAMP.format(url=_toml_string(config.timestamp_url)) if config.timestamp_url else "",
        ignore=", ".join(_toml_string(item) for item in config.ignore),
    )


def _quoted(path: Path) -> str:
    try:
        return _toml_string(os.fsencode(path).decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigProblem(
            "The folder name {path} is not UTF-8, which a configuration file must be. "
            "Nothing was changed. Reach the folder by another name.",
            path=path,
        ) from None


def _toml_string(text: str) -> str:
    escaped = "".join(
        f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char
        for char in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'


_TIMESTAMP = """\
# The time-stamp authority; its certificates were pinned when the archive was made.
[timestamp]
url = {url}

"""

_TEMPLATE = """\
# Settings of this archive. Every key but the two paths may be left out.

[archive]
path = {archive}

[watch]
path = {watch}
# "{{filing}}/{{submission}}": first folder level the filing, second the submission.
# "{{filing}}": first level the filing; submissions are numbered 01, 02, ...
layout = "{layout}"
# A file is archived once it has not changed for this long,
settle_seconds = 5
# or, under constant writing, after this long if it can be read in one piece.
maximum_delay_seconds = 300
# The whole folder is compared with the archive this often, events or not.
scan_minutes = 15
# Where events cannot be trusted (NFS, SMB, FUSE), or not every folder can be watched:
poll_seconds = 30
# Saves of drafts are gathered into one version in this time (0: each save is one);
# for one filing only: [filings."NAME"] with the same key. A submit captures first.
min_version_interval_minutes = 0
# File names that are not archived; each is listed by: archiver status
ignore = [{ignore}]

{timestamp}[retention]
# Calendar years, never under 3. The longest of this and the profiles counts:
# cn-algorithm-filing 3, cn-impact-assessment 3, sec-17a4 6, eu-ai-act 10, cn-archive-10, -30, -permanent;
# for one filing, or one submission, on top: [filings."NAME"] profiles = [...], submissions = {{ "NAME" = [...] }}
years = {years}
profiles = ["cn-algorithm-filing"]
timezone = "Asia/Shanghai"
# Keep everything of a filing for as long as the filing is live.
hold_while_live = true
# A disposal waits this long after its last approval.
cooling_off_days = 7

# Who may read the archive, and which of them may hand in, hold and approve through the daemon: groups
# of this server. Without: only the service's own user.
# [access]
# read_group = "compliance"
# act_group = "compliance-officers"

# A sample is restored to a scratch folder and compared this often (0: never);
# SM3 digests beside SHA-256 in manifests.
# [evidence]
# drill_days = 30
# drill_files = 100
# sm3 = false

# Materials that only the service's user may read, and that go into no inspection package, unless with
# --with-sensitive.
# [sensitive]
# patterns = ["*身份证*"]

# Words in the names of the materials that a submission of each kind should hold; the report tells which are
# missing. Kinds: subject, first, correction, change, deregistration, inspection, annual, other.
# [expected]
# first = ["算法备案承诺书", "落实算法安全主体责任基本情况", "算法安全自评估报告", "拟公示内容"]

# The desk: reminders of what is due (where they go stands in a file of mode 0600: owner = ["mailto://..."],
# manager = [...], or in the environment as ARCHIVER_TARGET_OWNER and _MANAGER), what changes are about, how often
# the public display is looked at, and the folder, within a filing, into which notices are dropped.
# [reminders]
# hour = 9
# targets = "targets.toml"
# [changes]
# model = ["*模型*"]
# logic = ["*推荐逻辑*", "*策略*"]
# data = ["*数据来源*"]
# mechanism = ["*算法机制*", "*拟公示内容*"]
# [display]
# every_days = 7
# [notices]
# folder = "通知"
# [filings."NAME"]
# signals = ["/srv/models/VERSION", "git:/srv/code/recommender.git"]
# pages = ["https://www.example.com/about"]

# The way to the bucket that archiver replica init was told of: keys stand in a file of mode 0600, in the form of
# ~/.aws/credentials (else the usual AWS chain); MB a second, 0: no limit; status warns of what waits longer.
# [replica]
# credentials = "bucket-keys"
# endpoint = "https://s3.example.com"
# bandwidth_mb = 0
# parallel = 8
# alert_hours = 24

# For Prometheus: a file for node_exporter, or an endpoint of our own on loopback.
# [metrics]
# textfile = "/var/lib/prometheus/node-exporter/archiver.prom"
# listen = "127.0.0.1:9750"
"""
