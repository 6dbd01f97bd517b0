"""Checking versions: tree, commit, tag and manifest of each agree with the capture event."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from archiver.errors import LazyMessage, StorageError
from archiver.model import Op
from archiver.store import names
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.git.repository import Repository
from archiver.verify.disposals import track_content
from archiver.verify.expected import ExpectedCommit, ForwardReferences, JournalEntry, JournalState
from archiver.verify.findings import VerifyReport, verbatim

#: The file ``.gitattributes`` that the first version of each submission brings.
_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"
#: Algorithms that a submission may name for its manifest; SM3 is not in every build of OpenSSL.
_MANIFEST_ALGORITHMS = {"sha256", "sm3"} & hashlib.algorithms_available

_Materials = dict[str, tuple[str | None, int]]


def apply_capture(entry: JournalEntry, state: JournalState, references: ForwardReferences) -> None:
    """Apply a capture event to ``state``: the expected commit, and the materials of the version.

    Raises KeyError or ValueError if the event lacks a member or its tag was captured before.
    """
    event = entry.event
    tag = event["object"]
    if tag in state.capture_times:
        raise ValueError(f"{tag} was captured before")
    branch = f"refs/heads/filings/{tag.rsplit('/', 1)[0]}"
    commit = event["refs"][branch]
    parent_commit = state.branch_heads.get(branch)
    changes = [json.loads(line) for line in entry.read_attachment(CHANGES_FILE).splitlines()]
    state.capture_times[tag] = event["clock"]["time"]
    state.unproven_captures.append(tag)
    version_number = VersionCaptured.from_details(event["details"]).version
    track_content(branch, version_number, changes, references.planned_content, state)
    materials = state.materials.setdefault(branch, {})
    changed_blobs = _apply_changes(changes, materials, state.content_sizes)
    if parent_commit is None:
        changed_blobs[b".gitattributes"] = _blob_id(_ATTRIBUTES)
    state.expected_commits[commit] = ExpectedCommit(tag, parent_commit, changed_blobs)
    state.branch_heads[branch] = commit
    if tag in references.submitted_tags:
        state.manifest_digests[tag] = _digest_manifest(materials)


def _apply_changes(
    changes: Sequence[dict[str, Any]], materials: _Materials, content_sizes: dict[str, int]
) -> dict[bytes, str | None]:
    """Apply changes to ``materials`` and ``content_sizes``.

    Returns each changed path of the tree with the blob that must be there now, None for a removed path. All
    removals go first: a path may be removed by one change and added by another.
    """
    blobs: dict[bytes, str | None] = {}
    for change in changes:
        is_removal = change["op"] in (Op.DELETE, Op.RMDIR)
        removed_path = change["path"] if is_removal else change.get("from")
        if removed_path is not None:
            materials.pop(removed_path, None)
            if change["op"] != Op.RMDIR:
                blobs[_tree_path(removed_path)] = None
    for change in changes:
        if change["op"] in (Op.DELETE, Op.RMDIR):
            continue
        sha256, size = change.get("sha256"), change.get("size", 0)
        materials[change["path"]] = (sha256, size)
        if sha256 is not None:
            blobs[_tree_path(change["path"])] = _blob_id(_lfs_pointer(sha256, size))
        if sha256 is not None and size:
            content_sizes[sha256] = size
    return blobs


def check_commits(repository: Repository, state: JournalState, report: VerifyReport) -> None:
    """Compare the changes in every version's commit with the changes in the event, then commit and tag.

    If every commit differs from its parent as the journal says, every tree is as the journal says.
    """
    compared_commits = set()
    try:
        for commit, actual_blobs in repository.tree_changes(state.expected_commits):
            compared_commits.add(commit)
            expected = state.expected_commits[commit]
            for path in sorted(actual_blobs.keys() | expected.changed_blobs.keys()):
                if actual_blobs.get(path) != expected.changed_blobs.get(path):
                    report.add_finding("A040", expected.version_tag, verbatim(names.text(path)))
    except StorageError as error:
        report.add_finding("A010", "archive.git", error.message)
    for commit, expected in state.expected_commits.items():
        if commit not in compared_commits and expected.changed_blobs:
            detail = LazyMessage("its commit changes nothing or cannot be read")
            report.add_finding("A040", expected.version_tag, detail)
        _check_commit_and_tag(repository, commit, expected, state, report)


def _check_commit_and_tag(
    repository: Repository, commit: str, expected: ExpectedCommit, state: JournalState, report: VerifyReport
) -> None:
    """Check that the commit follows the previous version, and the annotated tag names the commit."""
    tag_name = expected.version_tag
    try:
        header_lines = repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        tag_lines = repository.read(state.expected_refs[f"refs/tags/{tag_name}"]).split(b"\n")
    except KeyError:
        report.add_finding("A041", tag_name, LazyMessage("its commit or tag object is missing or damaged"))
        return
    parents = [line[7:].decode("ascii") for line in header_lines if line.startswith(b"parent ")]
    if parents != ([expected.parent_commit] if expected.parent_commit else []):
        detail = LazyMessage(
            "its commit follows {parents} instead of {expected}",
            parents=str(parents),
            expected=str(expected.parent_commit),
        )
        report.add_finding("A041", tag_name, detail)
    expected_lines = [f"object {commit}", "type commit", f"tag {tag_name}"]
    if [line.decode("utf-8", "replace") for line in tag_lines[:3]] != expected_lines:
        report.add_finding("A041", tag_name, LazyMessage("its tag names another commit"))


def _digest_manifest(materials: Mapping[str, tuple[str | None, int]]) -> dict[str, str]:
    """Return the digests of a version's manifest, by algorithm.

    The manifest has a line of canonical JSON for each path, in the byte order of the paths.
    """
    digests = {name: hashlib.new(name) for name in _MANIFEST_ALGORITHMS}
    for path in sorted(materials, key=names.raw):
        sha256, size = materials[path]
        line = {"path": path, "sha256": sha256, "size": size}
        text = json.dumps(line, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for digest in digests.values():
            digest.update(text.encode("utf-8") + b"\n")
    return {name: digest.hexdigest() for name, digest in digests.items()}


def _tree_path(path: str) -> bytes:
    return b"materials/" + names.tree_path(names.raw(path))


def _lfs_pointer(sha256: str, size: int) -> bytes:
    if size == 0:
        return b""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
