"""Checking versions: tree, commit, tag and manifest of each are what its capture event says."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from archiver.errors import StorageProblem
from archiver.model import Op
from archiver.store import names
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.git.repository import Repository
from archiver.verify.disposals import follow
from archiver.verify.expected import Expected, JournalEntry, JournalState, Watched
from archiver.verify.findings import VerifyReport

_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"


def take_in(entry: JournalEntry, history: JournalState, watched: Watched) -> None:
    """Take a capture event into ``history``."""
    event = entry.event
    tag = event["object"]
    if tag in history.captured:
        raise ValueError(f"{tag} was captured before")
    branch = f"refs/heads/filings/{tag.rsplit('/', 1)[0]}"
    version = event["refs"][branch]
    parent = history.heads.get(branch)
    lines = [json.loads(line) for line in entry.read(CHANGES_FILE).splitlines()]
    history.captured[tag] = event["clock"]["time"]
    history.unproven.append(tag)
    follow(branch, VersionCaptured.from_details(event["details"]).version, lines, watched.planned, history)
    state = history.states.setdefault(branch, {})
    blobs = _apply(lines, state, history.referenced)
    if parent is None:
        blobs[b".gitattributes"] = _blob_id(_ATTRIBUTES)
    history.commits[version] = Expected(event["seq"], tag, parent, blobs)
    history.heads[branch] = version
    if tag in watched.sealed:
        history.manifests[tag] = _manifest(state)


def _apply(
    lines: list[dict[str, Any]], state: dict[str, tuple[str | None, int]], referenced: dict[str, int]
) -> dict[bytes, str | None]:
    """Take changes into ``state``; returns tree paths with the blob each must have now."""
    blobs: dict[bytes, str | None] = {}
    for line in lines:
        gone = line["path"] if line["op"] in (Op.DELETE, Op.RMDIR) else line.get("from")
        if gone is not None:
            state.pop(gone, None)
            if line["op"] != Op.RMDIR:
                blobs[_tree_name(gone)] = None
    for line in lines:
        if line["op"] in (Op.DELETE, Op.RMDIR):
            continue
        sha256, size = line.get("sha256"), line.get("size", 0)
        state[line["path"]] = (sha256, size)
        if sha256 is not None:
            blobs[_tree_name(line["path"])] = _blob_id(_pointer(sha256, size))
        if sha256 is not None and size:
            referenced[sha256] = size
    return blobs


def check_commits(repository: Repository, history: JournalState, report: VerifyReport) -> None:
    """Compare what every commit changed with what its event says."""
    seen = set()
    try:
        for commit, changes in repository.tree_changes(history.commits):
            seen.add(commit)
            expected = history.commits[commit]
            for path in sorted(changes.keys() | expected.blobs.keys()):
                if changes.get(path) != expected.blobs.get(path):
                    report.add("A040", expected.tag, names.text(path))
    except StorageProblem as error:
        report.add("A010", "archive.git", str(error))
    for commit, expected in history.commits.items():
        if commit not in seen and expected.blobs:
            report.add("A040", expected.tag, "its commit changes nothing or cannot be read")
        _check_commit(repository, commit, expected, history, report)


def _check_commit(
    repository: Repository, commit: str, expected: Expected, history: JournalState, report: VerifyReport
) -> None:
    try:
        head = repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        tag = repository.read(history.refs[f"refs/tags/{expected.tag}"]).split(b"\n")
    except KeyError:
        report.add("A041", expected.tag, "its commit or tag object is missing or damaged")
        return
    parents = [line[7:].decode("ascii") for line in head if line.startswith(b"parent ")]
    if parents != ([expected.parent] if expected.parent else []):
        report.add("A041", expected.tag, f"its commit follows {parents} instead of {expected.parent}")
    wanted = [f"object {commit}", "type commit", f"tag {expected.tag}"]
    if [line.decode("utf-8", "replace") for line in tag[:3]] != wanted:
        report.add("A041", expected.tag, "its tag names another commit")


def _manifest(state: dict[str, tuple[str | None, int]]) -> dict[str, str]:
    """Its digests by the algorithms that a seal may name and this system has."""
    algorithms = {"sha256", "sm3"} & hashlib.algorithms_available
    digests = {name: hashlib.new(name) for name in algorithms}
    for path in sorted(state, key=names.raw):
        sha256, size = state[path]
        line = {"path": path, "sha256": sha256, "size": size}
        text = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for digest in digests.values():
            digest.update(text.encode("utf-8") + b"\n")
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _tree_name(path: str) -> bytes:
    return b"materials/" + names.tree_path(names.raw(path))


def _pointer(sha256: str, size: int) -> bytes:
    if size == 0:
        return b""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
