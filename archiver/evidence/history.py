"""Checking journal, refs, versions and seals against each other.

By induction: if every version's commit differs from its parent by exactly what
its capture event says, every tree is what the journal says.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from archiver import clock
from archiver.errors import StorageProblem
from archiver.evidence.findings import Report
from archiver.evidence.refs import peeled_problems, read_refs
from archiver.evidence.signatures import is_signed_by
from archiver.model import Op
from archiver.store import names
from archiver.store.repository import JOURNAL, Repository

_GENESIS = "0" * 64
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.1
_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True, slots=True)
class Expected:
    """What one version's commit must be, by its capture event."""

    seq: int
    tag: str
    parent: str | None
    blobs: dict[bytes, str | None]


@dataclass(slots=True)
class History:
    """What the journal, read on its own, says the archive must be.

    ``states``: branch -> path -> (sha256, size) of the newest version so far;
    ``heads``: branch -> its newest commit so far; ``manifests``: tag of a sealed
    version -> digest of its manifest; ``referenced``: sha256 -> size;
    ``digests``: the SHA-256 of each event, in order.
    """

    refs: dict[str, str] = field(default_factory=dict)
    referenced: dict[str, int] = field(default_factory=dict)
    states: dict[str, dict[str, tuple[str | None, int]]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Expected] = field(default_factory=dict)
    signers: bytes = b""
    digests: list[str] = field(default_factory=list)
    last_commit: str = ""


def check_history(repository: Repository, report: Report) -> History:
    """Walk the journal from its first event, then compare refs and trees with it."""
    history = History()
    refs = _refs_between_moves(repository, report)
    tip = refs.get(JOURNAL)
    if tip is None:
        report.add("A020", JOURNAL, "without the journal nothing else can be compared")
        return history
    commits = _journal_commits(repository, tip, report)
    sealed = _sealed_versions(repository, commits)
    for commit, data in _walk(repository, commits, history, report):
        _event(repository, commit, data, history, sealed, report)
        history.last_commit = commit
    history.refs[JOURNAL] = tip
    _compare_refs(refs, read_refs(repository.path, Report()), history, report)
    _check_commits(repository, history, report)
    targets = {oid: _target(repository, oid) for ref, oid in refs.items() if ref.startswith("refs/tags/")}
    for line in peeled_problems(repository.path, targets):
        report.add("A023", "archive.git/packed-refs", line)
    return history


def _refs_between_moves(repository: Repository, report: Report) -> dict[str, str]:
    """The refs, read when no transaction is half done.

    A writer moves the journal first and the rest right after: what the newest
    event names and is not there yet is waited for, a little.
    """
    for attempt in range(_ATTEMPTS):
        seen = Report()
        refs = read_refs(repository.path, seen)
        try:
            newest = json.loads(repository.read(f"{refs[JOURNAL]}:event.json"))["refs"]
            moved = all(refs.get(ref) == oid for ref, oid in newest.items())
        except (KeyError, ValueError, TypeError, AttributeError):
            moved = True
        if moved:
            break
        if attempt < _ATTEMPTS - 1:
            time.sleep(_PAUSE_SECONDS)
    report.findings += seen.findings
    return refs


def _journal_commits(repository: Repository, tip: str, report: Report) -> list[str]:
    """The journal's commits, oldest first, as far as they can be read."""
    commits: list[str] = []
    commit: str | None = tip
    while commit is not None:
        commits.append(commit)
        commit = _parent(repository, commit, report)
    return commits[::-1]


def _walk(
    repository: Repository, commits: list[str], history: History, report: Report
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Journal commits with their parsed events; the chain is checked here."""
    prev, seq, last_clock = _GENESIS, 0, ""
    for each in commits:
        report.events += 1
        seq += 1
        try:
            data = repository.read(f"{each}:event.json")
            history.digests.append(hashlib.sha256(data).hexdigest())
            event = json.loads(data)
            if event["prev"] != prev or event["seq"] != seq:
                report.add("A031", f"event {event['seq']}", f"it should be event {seq} after {prev[:12]}")
                seq = int(event["seq"])
            now = event["clock"]["time"]
            clock.parse(now)
            if now < last_clock:
                report.add("A033", f"event {seq}", f"{now} after {last_clock}")
            last_clock = now
            prev = history.digests[-1]
        except (KeyError, ValueError, TypeError) as error:
            report.add("A030", f"event {seq}", f"commit {each[:12]}: {error}")
            prev = ""
            history.digests += [""] * (report.events - len(history.digests))
            continue
        yield each, event


def _parent(repository: Repository, commit: str, report: Report) -> str | None:
    try:
        kind, data = repository.object(commit)
    except KeyError:
        report.add("A030", f"commit {commit}", "it is missing or damaged; what lies before it is out of reach")
        return None
    parents = [line[7:] for line in data.split(b"\n\n", 1)[0].split(b"\n") if line.startswith(b"parent ")]
    if kind != "commit" or len(parents) > 1:
        report.add("A031", f"commit {commit}", f"{kind} with {len(parents)} parents")
    return parents[0].decode("ascii") if parents else None


def _sealed_versions(repository: Repository, commits: list[str]) -> set[str]:
    """Version tags whose manifests will be needed; found first so that memory stays flat."""
    sealed = set()
    for commit in commits:
        try:
            event = json.loads(repository.read(f"{commit}:event.json"))
            if event["action"] == "submit":
                sealed.add(event["details"]["version"])
        except (KeyError, ValueError, TypeError):
            continue
    return sealed


def _event(
    repository: Repository,
    commit: str,
    event: dict[str, Any],
    history: History,
    sealed: set[str],
    report: Report,
) -> None:
    where = f"event {event['seq']}"
    try:
        _attachments(repository, commit, event, where, report)
        if event["action"] == "checkpoint":
            _checkpoint(repository, event, history, report)
        history.refs |= event["refs"]
        if event["action"] == "init":
            history.signers = repository.read(f"{commit}:allowed_signers")
        elif event["action"] == "capture":
            report.versions += 1
            _capture(repository, commit, event, history, sealed)
        elif event["action"] == "submit":
            _submit(repository, event, history, report)
    except (KeyError, ValueError, TypeError, AttributeError, StorageProblem) as error:
        report.add("A030", where, f"{type(error).__name__}: {error}")


def _attachments(repository: Repository, commit: str, event: dict[str, Any], where: str, report: Report) -> None:
    expected = {item["name"]: item for item in event["attachments"]}
    present = {path.decode("utf-8", "replace") for path in repository.tree(commit)} - {"event.json"}
    for name in sorted(present ^ expected.keys()):
        report.add("A032", where, f"{name} is {'unknown' if name in present else 'missing'}")
    for name in sorted(present & expected.keys()):
        data = repository.read(f"{commit}:{name}")
        item = expected[name]
        if len(data) != item["size"] or hashlib.sha256(data).hexdigest() != item["sha256"]:
            report.add("A032", where, f"{name} was altered")


def _capture(
    repository: Repository, commit: str, event: dict[str, Any], history: History, sealed: set[str]
) -> None:
    tag = event["object"]
    branch = f"refs/heads/filings/{tag.rsplit('/', 1)[0]}"
    version = event["refs"][branch]
    parent = history.heads.get(branch)
    lines = [json.loads(line) for line in repository.read(f"{commit}:changes.jsonl").splitlines()]
    state = history.states.setdefault(branch, {})
    blobs = _apply(lines, state, history.referenced)
    if parent is None:
        blobs[b".gitattributes"] = _blob_id(_ATTRIBUTES)
    history.commits[version] = Expected(event["seq"], tag, parent, blobs)
    history.heads[branch] = version
    if tag in sealed:
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


def _submit(repository: Repository, event: dict[str, Any], history: History, report: Report) -> None:
    details = event["details"]
    tag = details["tag"]
    oid = event["refs"][f"refs/tags/{tag}"]
    if not is_signed_by(repository.read(oid), history.signers):
        report.add("A042", tag)
    if history.manifests.get(details["version"]) != details["manifest_sha256"]:
        report.add("A043", tag, details["version"])


def _checkpoint(repository: Repository, event: dict[str, Any], history: History, report: Report) -> None:
    refs = {**history.refs, JOURNAL: history.last_commit}
    lines = [
        f"{refs[ref]} {ref}\n" for ref in sorted(refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    ]
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    tag = repository.read(event["refs"][f"refs/tags/{event['object']}"])
    if digest != event["details"]["refs_sha256"] or f"refs-sha256 {digest}\n".encode() not in tag:
        report.add("A045", event["object"])
    if not is_signed_by(tag, history.signers):
        report.add("A044", event["object"])


def _compare_refs(before: dict[str, str], after: dict[str, str], history: History, report: Report) -> None:
    for ref, oid in history.refs.items():
        if ref not in before:
            report.add("A020", ref, f"it should be {oid[:12]}")
        elif oid not in (before[ref], after.get(ref)):
            report.add("A021", ref, f"{before[ref][:12]} instead of {oid[:12]}")
    if before.get(JOURNAL) != after.get(JOURNAL):
        # The daemon went on meanwhile: what the newer events made is not judged here.
        return
    for ref in sorted(before.keys() - history.refs.keys()):
        report.add("A022", ref)


def _check_commits(repository: Repository, history: History, report: Report) -> None:
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
    repository: Repository, commit: str, expected: Expected, history: History, report: Report
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


def _target(repository: Repository, oid: str) -> str:
    try:
        return repository.read(oid)[7:47].decode("ascii", "replace")
    except KeyError:
        return ""


def _manifest(state: dict[str, tuple[str | None, int]]) -> str:
    digest = hashlib.sha256()
    for path in sorted(state, key=names.raw):
        sha256, size = state[path]
        line = {"path": path, "sha256": sha256, "size": size}
        text = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        digest.update(text.encode("utf-8") + b"\n")
    return digest.hexdigest()


def _tree_name(path: str) -> bytes:
    return b"materials/" + names.tree_path(names.raw(path))


def _pointer(sha256: str, size: int) -> bytes:
    if size == 0:
        return b""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
