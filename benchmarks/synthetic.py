"""A synthetic archive of any size, written through one ``git fast-import``: its history, not its content.

    python benchmarks/synthetic.py FOLDER [--materials 1000000] [--submissions 10000] [--versions 100000]

Every ref, tag, event and change list is real and in the form of docs/format.md; the content objects are
not there (their SHA-256 are those of texts that are never written), so that nothing but ``verify``
and ``restore`` would miss them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from archiver import clock
from archiver.model import Change, Op, Submission
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.content.objects import lfs_pointer
from archiver.store.events.archive_events import ArchiveCreated
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.git.fast_import import IDENTITY
from archiver.store.journal import canonical_json, encode_change_line

_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"
_EVERY = 10  # submissions a filing


class Generator:
    """The stream into one fast-import, and the chain of events."""

    def __init__(self, archive: Archive) -> None:
        newest = archive.journal.newest_event()
        assert newest is not None
        self.seq, self.prev, self.tip = newest.seq, newest.sha256, newest.commit
        self.now, self.reading = clock.parse_time(newest.clock["time"]), clock.parse_evidence(newest.clock)[1]
        self.actor = newest.actor
        command = [
            "git",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsync=none",
            f"--git-dir={archive.repository_path}",
        ]
        self._process = subprocess.Popen(
            [*command, "fast-import", "--quiet", "--date-format=raw"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._git = command
        self._begun: set[str] = set()

    def version(
        self, submission: Submission, number: int, parent: str | None, changes: list[Change], files: int
    ) -> str:
        """One version with its tag and its event; returns its commit."""
        self.seq += 1
        # As if all clocks of the machine had gone on alike.
        self.now += timedelta(milliseconds=1)
        self.reading = replace(
            self.reading,
            wall=self.reading.wall + timedelta(milliseconds=1),
            boottime_ns=self.reading.boottime_ns + 1_000_000,
            uptime_ns=self.reading.uptime_ns + 1_000_000,
        )
        seconds = int(self.now.timestamp())
        tag = submission.tag(number)
        message = f"{tag}\n"
        tree = [(b".gitattributes", _ATTRIBUTES)] if parent is None else []
        tree += [(b"materials/" + c.path, lfs_pointer(c.sha256 or "", c.size)) for c in changes]
        commit = self._commit(submission.branch, message, seconds, parent, tree)
        head = f"object {commit}\ntype commit\ntag {tag}\ntagger {IDENTITY} {seconds} +0000\n\n{message}".encode()
        self._say(
            f"tag {tag}\nfrom {commit}\ntagger {IDENTITY} {seconds} +0000\ndata {len(message.encode())}\n{message}"
        )
        listed = b"".join(map(encode_change_line, changes))
        document = {
            "seq": self.seq,
            "at": clock.format_time(self.now),
            "clock": clock.make_evidence(self.now, self.reading),
            "actor": self.actor,
            "action": VersionCaptured.action.value,
            "object": tag,
            "details": VersionCaptured(
                filing=names.name_as_text(submission.filing_folder),
                submission=names.name_as_text(submission.folder),
                version=number,
                files=files,
                bytes=files * 1000,
                added=sum(c.op is Op.ADD for c in changes),
                modified=sum(c.op is Op.MODIFY for c in changes),
                deleted=0,
            ).to_details(),
            "refs": {
                submission.branch: commit,
                f"refs/tags/{tag}": hashlib.sha1(
                    b"tag %d\0" % len(head) + head, usedforsecurity=False
                ).hexdigest(),
            },
            "attachments": [
                {"name": "changes.jsonl", "sha256": hashlib.sha256(listed).hexdigest(), "size": len(listed)}
            ],
            "prev": self.prev,
        }
        data = canonical_json(document)
        attached = [(b"event.json", data), (b"changes.jsonl", listed)]
        text = f"{self.seq} capture {tag}\n"
        self.tip = self._commit("refs/heads/journal", text, seconds, self.tip, attached, fresh=True)
        self.prev = hashlib.sha256(data).hexdigest()
        return commit

    def _commit(
        self,
        ref: str,
        message: str,
        seconds: int,
        parent: str | None,
        files: list[tuple[bytes, bytes]],
        *,
        fresh: bool = False,
    ) -> str:
        self._say(
            f"commit {ref}\nmark :1\ncommitter {IDENTITY} {seconds} +0000\ndata {len(message.encode())}\n{message}\n"
        )
        if parent is not None and ref not in self._begun:
            self._say(f"from {parent}\n")
        self._begun.add(ref)
        if fresh:
            self._say("deleteall\n")
        stream = self._process.stdin
        assert stream is not None
        assert self._process.stdout is not None
        for path, data in files:
            stream.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(data), data))
        self._say("\nget-mark :1\n")
        stream.flush()
        return self._process.stdout.readline().decode().strip()

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def finish(self) -> None:
        """Write the refs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if self._process.wait():
            raise SystemExit("git fast-import failed")
        subprocess.run([*self._git, "pack-refs", "--all"], check=True)


def make(root: Path, materials: int, submissions: int, versions: int, watch: Path | None = None) -> Archive:
    """The archive at ``root``; each submission begins with its materials, each later version changes one."""
    created = ArchiveCreated(
        watch=os.fspath(watch or root), layout="{filing}/{submission}", retention_years=3, timezone="Asia/Shanghai"
    )
    archive = Archive.create(root, created)
    generator = Generator(archive)
    each, rounds = materials // submissions, versions // submissions
    for number in range(submissions):
        filing, name = f"算法{number // _EVERY:05}", f"报送{number % _EVERY:02}"
        submission = Submission(filing, name, filing.encode(), name.encode())
        parent = None
        for version in range(1, rounds + 1):
            chosen = range(each) if version == 1 else [version % each]
            op = Op.ADD if version == 1 else Op.MODIFY
            changes = [_change(op, number, each_, version) for each_ in chosen]
            parent = generator.version(submission, version, parent, changes, each)
    generator.finish()
    return archive


def _change(op: Op, submission: int, material: int, version: int) -> Change:
    sha256 = hashlib.sha256(b"%d %d %d" % (submission, material, version)).hexdigest()
    return Change(op, f"材料/文件{material:05}.pdf".encode(), sha256, 1000, 1_700_000_000_000_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--materials", type=int, default=1_000_000)
    parser.add_argument("--submissions", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=100_000)
    options = parser.parse_args()
    make(options.folder, options.materials, options.submissions, options.versions).close()
    sys.stdout.write(f"{options.folder}\n")


if __name__ == "__main__":
    main()
