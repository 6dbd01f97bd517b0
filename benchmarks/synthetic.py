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
from datetime import timedelta
from pathlib import Path

from archiver import clock
from archiver.model import Attachment, Change, Event, Op, Submission
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.content.objects import lfs_pointer
from archiver.store.creation.archive_creation import create_archive
from archiver.store.events.archive_events import ArchiveCreated
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.events.change_lines import encode_change_lines
from archiver.store.git.object_writer import IDENTITY
from archiver.store.git.repository import JOURNAL
from archiver.store.writing.chain_heads import ChainHeads
from archiver.store.writing.event_batch import EventBatch
from archiver.store.writing.head_signing import CoveredEvents

_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"
_EVERY = 10  # submissions a filing


class Generator:
    """The stream into one fast-import, and the chain of events."""

    def __init__(self, archive: Archive) -> None:
        newest = archive.journal.newest_event()
        assert newest is not None
        self.archive = archive
        self.batch = EventBatch(
            newest, clock.parse_evidence(newest.clock)[1], ChainHeads(archive.index), archive.actor
        )
        self.first_seq = newest.seq + 1
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
        self,
        submission: Submission,
        number: int,
        parent: str | None,
        changes: list[Change],
        files: int,
        *,
        is_last: bool,
    ) -> str:
        """One version with its tag and its event, the last one with a signed head; returns its commit."""
        # As if all clocks of the machine had gone on alike.
        self.batch.reading = self.batch.reading._replace(
            wall=self.batch.reading.wall + timedelta(milliseconds=1),
            boottime_ns=self.batch.reading.boottime_ns + 1_000_000,
            uptime_ns=self.batch.reading.uptime_ns + 1_000_000,
        )
        seconds = self.batch.seconds
        tag = submission.tag(number)
        message = f"{tag}\n"
        tree = [(b".gitattributes", _ATTRIBUTES)] if parent is None else []
        tree += [(b"materials/" + c.path, lfs_pointer(c.sha256 or "", c.size)) for c in changes]
        commit = self._commit(submission.branch, message, seconds, parent, tree)
        head = f"object {commit}\ntype commit\ntag {tag}\ntagger {IDENTITY} {seconds} +0000\n\n{message}".encode()
        self._say(
            f"tag {tag}\nfrom {commit}\ntagger {IDENTITY} {seconds} +0000\ndata {len(message.encode())}\n{message}"
        )
        listed = b"".join(encode_change_lines(changes))
        details = VersionCaptured(
            filing=names.name_as_text(submission.filing_folder),
            submission=names.name_as_text(submission.folder),
            version=number,
            files=files,
            bytes=files * 1000,
            added=sum(c.op is Op.ADD for c in changes),
            modified=sum(c.op is Op.MODIFY for c in changes),
            deleted=0,
        )
        tag_oid = hashlib.sha1(b"tag %d\0" % len(head) + head, usedforsecurity=False).hexdigest()
        refs = {submission.branch: commit, f"refs/tags/{tag}": tag_oid}
        attachment = Attachment("changes.jsonl", hashlib.sha256(listed).hexdigest(), len(listed))
        prepared = self.batch.prepare_event(tag, details, refs, [attachment], None)
        self.batch.advance_chain(prepared.event)
        entries = [(b"event.json", prepared.files.event), (b"body.json", prepared.files.body)]
        if is_last:
            entries += self._sign_head(prepared.event)
        entries.append((b"changes.jsonl", listed))
        event, before = prepared.event, self.batch.newest
        assert before is not None
        tip = self._commit(JOURNAL, f"{event.seq} capture {tag}\n", seconds, before.commit, entries, fresh=True)
        self.batch.newest = event._replace(commit=tip)
        return commit

    def _sign_head(self, last_event: Event) -> list[tuple[bytes, bytes]]:
        first_event = self.archive.journal.first_event()
        assert first_event is not None
        covered = CoveredEvents(f"sha256:{first_event.sha256}", self.first_seq, last_event, self.batch.chain_heads)
        signed = self.archive.head_signer.sign(covered, self.archive.journalled_signers())
        return [(b"head.json", signed.head), (b"head.sig", signed.signature)]

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
    archive = create_archive(root, created)
    generator = Generator(archive)
    each, rounds = materials // submissions, versions // submissions
    for number in range(submissions):
        filing, name = f"算法{number // _EVERY:05}", f"报送{number % _EVERY:02}"
        submission = Submission(RefName(filing), RefName(name), filing.encode(), name.encode())
        parent = None
        for version in range(1, rounds + 1):
            chosen = range(each) if version == 1 else [version % each]
            op = Op.ADD if version == 1 else Op.MODIFY
            changes = [_change(op, number, each_, version) for each_ in chosen]
            is_last = (number, version) == (submissions - 1, rounds)
            parent = generator.version(submission, version, parent, changes, each, is_last=is_last)
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
