"""Events as this release would never write them: of a newer one, of one with a fault, or of a forger."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.store.keys import SigningKey
from tests.support.journal_model import NOTHING, Commit, Model, canonical, read_journal, replayed, sha256
from tests.support.site import UNGUARDED, Site

#: Details nested 980 deep: Python writes them from some places, and reads them back from fewer.
DEEP = {"deep": "@"}
#: The members of ``event.json``; all others go to ``body.json``.
_VISIBLE = ("at", "body", "chain", "chain_prev", "class", "clock", "format", "n", "prev", "seq")

Change = Callable[[dict[str, Any]], object]


def _unchanged(_document: dict[str, Any]) -> None:
    """Leave it as it is."""


@dataclass(frozen=True)
class SignedBy:
    """The head that goes with a forged event, and the folder of the key that signs it."""

    keys_folder: Path
    change: Change = _unchanged
    namespace: str = "archiver-head"
    #: Takes the place of the signature; empty bytes leave the file out.
    signature: bytes | None = None


def append(
    site: Site,
    change: Change = _unchanged,
    data: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
    *,
    change_visible: Change = _unchanged,
    change_body: Change = _unchanged,
    body: bytes | None = None,
    other_body: bytes | None = None,
    head: SignedBy | None = None,
) -> int:
    """Append one event with plain git; returns its number.

    ``change`` alters what would be a whole event of the action ``restore``, in the chain ``house``, with the
    members of both files; ``change_body`` and ``change_visible`` alter one of them, just before it is encoded.
    ``data`` takes the place of both files.  ``body`` are the bytes of the body; ``other_body`` take their place
    without being the ones that the event names.  ``files`` are attached.  Without ``head``, nobody signs the
    event.
    """
    commits = read_journal(site.repository)
    model = replayed(commits)
    event = {
        "at": commits[-1].event.get("at"),
        "clock": next(commit.event["clock"] for commit in reversed(commits) if "clock" in commit.event),
        "format": 2,
        "seq": len(commits) + 1,
        "class": "note",
        "chain": "house",
        "action": "restore",
        "actor": {"uid": os.getuid(), "user": "forger"},
        "attachments": [
            {"name": name, "digest": sha256(text), "size": len(text)} for name, text in (files or {}).items()
        ],
        "details": {},
        "object": "f/s/v1",
        "refs": {},
        "salt": secrets.token_hex(16),
    }
    change(event)
    visible, hidden = _split(event)
    change_body(hidden)
    body_bytes = canonical(hidden) if body is None else body
    number, chain_prev = model.place(visible["chain"])
    visible |= {"prev": commits[-1].digest, "n": number, "chain_prev": chain_prev, "body": sha256(body_bytes)}
    change_visible(visible)
    tree = {"event.json": canonical(visible), "body.json": body_bytes if other_body is None else other_body}
    return append_files(site, {"event.json": data} if data is not None else {**tree, **(files or {})}, head)


def _split(event: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members of ``event.json`` and those of ``body.json``."""
    visible = {name: value for name, value in event.items() if name in _VISIBLE}
    return visible, {name: value for name, value in event.items() if name not in _VISIBLE}


def append_files(site: Site, tree: Mapping[str, bytes], head: SignedBy | None = None) -> int:
    """Append a commit with these files to the journal, and with a head over all events; returns its number."""
    commits = read_journal(site.repository)
    files = dict(tree)
    if head is not None:
        model = replayed(commits)
        model.take(Commit("", {name: files.get(name) for name in ("event.json", "body.json")}))
        files |= signed_head(model, head)
    move_journal(site, write_commit(site, files, commits[-1].oid))
    return len(commits) + 1


def signed_head(model: Model, head: SignedBy) -> dict[str, bytes]:
    """Return the files of the head over all events of the model."""
    key = SigningKey(head.keys_folder)
    document = model.next_head(key.fingerprint, batch=model.newest[0])
    head.change(document)
    data = canonical(document)
    signature = key.sign(data, head.namespace).encode() if head.signature is None else head.signature
    return {"head.json": data, **({"head.sig": signature} if signature else {})}


def in_chain_of(site: Site, filing: str, action: str, **details: Any) -> Change:
    """Return the change to an act about ``filing``, in the chain of that filing, or in a new one."""
    chains = (commit.event["chain"] for commit in read_journal(site.repository) if _is_about(commit, filing))
    chain = next(chains, None) or secrets.token_hex(16)
    members = {"action": action, "object": filing, "details": details, "chain": chain, "class": "act"}
    return lambda event: event.update(members)


def _is_about(commit: Commit, filing: str) -> bool:
    if not commit.is_format_2 or commit.event["chain"] in ("archive", "house"):
        return False
    named = commit.body["details"].get("of_filing") or commit.body["object"].split("/")[0]
    return bool(named == filing)


# --- the journal written anew, as somebody with git can


def replace_newest(
    site: Site,
    change: Change = _unchanged,
    files: Mapping[str, bytes] | None = None,
    *,
    key: Path | None = None,
) -> None:
    """Replace the newest event by an altered one of the same format.

    ``change`` alters the members of both files; the body is made to fit.  ``files`` take the place of those of the
    same name, or are added.  With the folder of a key, the head is made and signed again; without one, it stays.
    """
    *earlier, newest = read_journal(site.repository)
    tree = files_of(site, newest.oid)
    event = {**newest.body, **newest.event}
    change(event)
    if newest.is_format_2:
        visible, hidden = _split(event)
        tree["body.json"] = canonical(hidden)
        tree["event.json"] = canonical(visible | {"body": sha256(tree["body.json"])})
    else:
        tree["event.json"] = canonical(event)
    tree |= files or {}
    if key is not None:
        model = replayed(earlier)
        model.take(Commit("", {name: tree.get(name) for name in ("event.json", "body.json")}))
        tree |= signed_head(model, SignedBy(key))
    move_journal(site, write_commit(site, tree, earlier[-1].oid))


def rewrite(
    site: Site,
    alter: Callable[[int, dict[str, bytes]], dict[str, bytes] | None],
    *,
    is_relinked: bool = False,
    key: Path | None = None,
) -> None:
    """Write every commit of the journal again.

    ``alter`` gets the number and the files of each commit, and returns the files of the new one; None leaves the
    commit out.  If ``is_relinked``, numbers and digests in the events are made to fit.  With the folder of a key,
    each head is made and signed again.
    """
    model, parent = Model(), None
    for number, commit in enumerate(read_journal(site.repository), 1):
        files = alter(number, files_of(site, commit.oid))
        if files is None:
            continue
        if is_relinked:
            files = files | {"event.json": _relinked(model, files)}
        model.take(Commit("", {name: files.get(name) for name in ("event.json", "body.json")}))
        if "head.json" in files:
            if key is not None:
                files = files | signed_head(model, SignedBy(key))
            model.take_head(files["head.json"])
        parent = write_commit(site, files, parent)
    assert parent is not None
    move_journal(site, parent)


def _relinked(model: Model, files: Mapping[str, bytes]) -> bytes:
    """Return an ``event.json`` that follows the events of the model; bytes that are no event stay."""
    event = json.loads(files["event.json"])
    seq, digest = model.newest
    if "body.json" in files:
        number, chain_prev = model.place(event["chain"])
        event |= {"n": number, "chain_prev": chain_prev, "body": sha256(files["body.json"])}
        return canonical(event | {"seq": seq + 1, "prev": digest or NOTHING})
    if "action" not in event:
        return files["event.json"]
    return canonical(event | {"seq": seq + 1, "prev": (digest or NOTHING).removeprefix("sha256:")})


def files_of(site: Site, commit: str) -> dict[str, bytes]:
    """Return the bytes of every file in a commit of the journal, by the file's name."""
    names = [os.fsdecode(name) for name in _git(site, "ls-tree", "-z", "--name-only", commit).split(b"\0")[:-1]]
    return {name: _git(site, "cat-file", "blob", f"{commit}:{name}") for name in names}


def write_commit(site: Site, files: Mapping[str, bytes], parent: str | None) -> str:
    """Write a commit with these files, to which no ref points; returns its object id."""
    listing = []
    for name, text in sorted(files.items()):
        oid = _git(site, "hash-object", "-w", "--no-filters", "--stdin", given=text).decode().strip()
        listing.append(f"100644 blob {oid}\t{name}\n")
    tree = _git(site, "mktree", given="".join(listing).encode()).decode().strip()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    parents = ["-p", parent] if parent else []
    return _git(site, *identity, "commit-tree", *parents, "-m", "x", tree).decode().strip()


def move_journal(site: Site, commit: str) -> None:
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", commit)


def _git(site: Site, *arguments: str, given: bytes = b"") -> bytes:
    git = ["git", "-c", f"safe.directory={site.repository}", f"--git-dir={site.repository}"]
    return subprocess.run([*git, *arguments], input=given, capture_output=True, check=True).stdout
