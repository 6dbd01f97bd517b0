"""The history, and where wanted the content, for another git server, which is never rewound."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from archiver.errors import ConfigProblem, StorageProblem
from archiver.existence import is_folder, is_there
from archiver.replica.sync import Progress
from archiver.store import overview
from archiver.store.archive import Archive
from archiver.store.commands import GitCommands
from archiver.store.content import ContentStore
from archiver.store.durable import sync_path
from archiver.store.privacy import fitting

#: As many as one git-lfs is told of: its command line is finite.
_BATCH = 1000
_READABLE = 0o444


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did: whereto, how many contents are there, and which were not sent.

    ``withheld``: sensitive ones; ``away``: those that lie in the bucket alone.
    """

    remote: str
    contents: int = 0
    withheld: int = 0
    away: int = 0


def push(
    archive: Archive,
    remote: str,
    sensitive: tuple[str, ...],
    *,
    with_content: bool,
    progress: Progress = lambda _done, _total: None,
) -> Pushed:
    """Send every branch and tag to ``remote``, whatever git takes for one, and the content before them.

    Raises StorageProblem where the server refuses, ConfigProblem without git-lfs.
    """
    shown = _shown(remote)
    if is_folder(remote):
        # git runs in the archive, and would look for it from there.
        remote = os.path.abspath(remote)
    if not with_content:
        _push_history(archive, remote)
        return Pushed(shown)
    sent = _contents(archive, sensitive)[0]
    _send(archive, remote, sent, progress)
    _push_history(archive, remote)
    # What was captured meanwhile may be named by the history already.
    wanted, withheld, away = _contents(archive, sensitive)
    _send(archive, remote, {each: size for each, size in wanted.items() if each not in sent}, progress)
    return Pushed(shown, len(wanted), withheld, away)


def _push_history(archive: Archive, remote: str) -> None:
    status, err = archive.repository.push(remote)
    if status != 0:
        raise StorageProblem(
            "The history could not be sent to {remote}: {reason}. Nothing archived here was lost, and nothing "
            "there was rewound. Mend the address, the access or what lies there, and run the command again.",
            remote=_shown(remote),
            reason=_reason(err),
        )


def _contents(archive: Archive, sensitive: tuple[str, ...]) -> tuple[dict[str, int], int, int]:
    """What is to be sent, with its size; how many stay as sensitive, and how many as they are not on this disk."""
    hidden = {sha256 for path, sha256 in overview.contents(archive.index) if fitting(path, sensitive)}
    there: dict[str, int] = {}
    withheld, away = set(), set()
    for _, sha256, size, _, _ in overview.content_intervals(archive.index):
        if sha256 in hidden:
            withheld.add(sha256)
        elif is_there(archive.content.path(sha256)):
            there[sha256] = size
        elif archive.content.elsewhere is not None:
            # Brought back all at once they would fill the disk that they have outgrown.
            away.add(sha256)
    return there, len(withheld), len(away)


def _send(archive: Archive, remote: str, contents: dict[str, int], progress: Progress) -> None:
    if not contents:
        return
    address = archive.repository.address_of(remote)
    folder = Path(address.removeprefix("file://"))
    if is_folder(folder):
        _copy_all(archive, folder, contents, progress)
    else:
        _send_all(archive, address, contents, progress)


def _copy_all(archive: Archive, repository: Path, contents: dict[str, int], progress: Progress) -> None:
    """Into a repository on a disk.  Stock git-lfs would hard-link there: one file in two archives."""
    inner = repository / ".git"
    there = _contents_of(inner if is_folder(inner) else repository)
    done, total = 0, sum(contents.values())
    for sha256, size in contents.items():
        target = there.path(sha256)
        if not is_there(target):
            try:
                _copy(archive, sha256, target)
            except OSError as error:
                raise _not_sent(os.fspath(repository), f"{error.strerror}: {target}") from None
        done += size
        progress(done, total)


def _contents_of(repository: Path) -> ContentStore:
    """Where a repository keeps what stock git-lfs looks for."""
    return ContentStore(repository / "lfs" / "objects", repository / "lfs" / "tmp")


def _copy(archive: Archive, sha256: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part, digest = target.with_name(f"tmp-{sha256}"), hashlib.sha256()
    with open(part, "wb") as out:
        for piece in archive.content.views(sha256):
            digest.update(piece)
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != sha256:
        part.unlink()
        raise StorageProblem(
            "The content {sha256} is damaged here and was not sent. Nothing else was lost. Run archiver verify, "
            "and bring it back from a copy.",
            sha256=sha256,
        )
    part.chmod(_READABLE)
    part.rename(target)
    sync_path(os.fspath(target.parent))


def _send_all(archive: Archive, address: str, contents: dict[str, int], progress: Progress) -> None:
    """With the stock client, from a repository of its own: in the archive it would leave hooks and locks."""
    with TemporaryDirectory() as folder:
        git, there = GitCommands(Path(folder)), _contents_of(Path(folder))
        git.run("init", "--quiet", "--bare")
        if git.attempt("lfs", "version")[0] != 0:
            raise ConfigProblem(
                "Content goes to a git server with git-lfs, which is not installed or not in PATH. Nothing was "
                "sent. Install git-lfs, or send the history without it."
            )
        done, total = 0, sum(contents.values())
        names = list(contents)
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            for sha256 in batch:
                name = there.path(sha256)
                name.parent.mkdir(parents=True, exist_ok=True)
                name.symlink_to(archive.content.path(sha256))
            status, _, err = git.attempt("lfs", "push", "--object-id", address, *batch, is_long=True)
            if status != 0:
                raise _not_sent(address, _reason(err))
            done += sum(contents[sha256] for sha256 in batch)
            progress(done, total)


def _not_sent(remote: str, reason: str) -> StorageProblem:
    return StorageProblem(
        "The content could not be sent to {remote}: {reason}. Nothing archived here was lost; what arrived there "
        "is not sent again. Mend the address or the access, and see that the server speaks Git LFS; then run the "
        "command again.",
        remote=_shown(remote),
        reason=reason,
    )


def _reason(err: bytes) -> str:
    said = " ".join(err.decode("utf-8", "replace").split())
    return _shown(said)[-500:].rstrip(".") or "it said nothing"


def _shown(text: str) -> str:
    """Without the name and the password that an address may hold."""
    return re.sub(r"(?<=://)[^\s/@]*@", "", text)
