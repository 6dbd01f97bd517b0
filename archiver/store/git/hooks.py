"""Define the text of the repository's settings and hooks byte for byte, and compare the files with it.

Settings and hooks are guard rails against accidents of people who run git on the archive.  The owner of the files
can bypass them; the proof is the journal (docs/traps.md).  Our own git reads none of these files
(:mod:`archiver.store.git.private_directory`), so a foreign file is reported and stops nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from archiver.errors import StorageError
from archiver.path_existence import is_there
from archiver.store.git import lfs_additions

#: The complete text of ``config``; another text with the same meaning is not accepted.
CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tfsync = all
\tfsyncMethod = fsync
\tlogAllRefUpdates = false
\tprotectHFS = true
\tprotectNTFS = true
[extensions]
\tpreciousObjects = true
[gc]
\tauto = 0
\tpruneExpire = never
\treflogExpire = never
\treflogExpireUnreachable = never
[maintenance]
\tauto = false
[receive]
\tdenyDeletes = true
\tdenyNonFastForwards = true
\tautogc = false
[transfer]
\tfsckObjects = true
[hook "guard"]
\tevent = reference-transaction
\tcommand = \\"${GIT_DIR:-.}\\"/hooks/reference-transaction
[lfs]
\tpruneverifyremotealways = true
"""

HEAD = "ref: refs/heads/journal\n"

_REFERENCE_TRANSACTION = """\
#!/bin/sh
# archiver: refuses to delete or move back what is archived.
# Deleting (new is zero) is allowed only to "git pack-refs", which removes a loose
# ref whose very value stands in packed-refs, without holding packed-refs.lock.
[ "$1" = prepared ] || exit 0
zero=0000000000000000000000000000000000000000
dir=${GIT_DIR:-.}
refuse() {
    echo "archiver: $1 of $2 is refused: archived materials are kept. Nothing was changed." >&2
    printf '%s\\t%s\\t%s\\n' "$1" "$2" "$(id -u)" >> "$dir/../spool/refused" 2>/dev/null
    exit 1
}
# An old value that is given was checked by git; without one git passes zero, and
# the value now in place decides.  One git tells the values of all refs.
moves=$(grep -E ' refs/(heads|tags)/') || exit 0
values=$(printf '%s\\n' "$moves" | cut -d ' ' -f 3 | git cat-file --batch-check='%(objectname)')
while read -r old new ref <&3 && read -r now missing <&4; do
    if [ "$new" = "$zero" ]; then
        if [ "$old" != "$zero" ] && [ ! -e "$dir/packed-refs.lock" ] &&
            grep -qxF "$old $ref" "$dir/packed-refs" 2>/dev/null; then
            continue
        fi
        refuse deletion "$ref"
    fi
    [ -z "$missing" ] && [ "$now" != "$new" ] || continue
    case $ref in
    refs/tags/*) refuse move "$ref" ;;
    esac
    git merge-base --is-ancestor "$now" "$new" || refuse rewinding "$ref"
done 3<<MOVES 4<<VALUES
$moves
MOVES
$values
VALUES
exit 0
"""

_PRE_RECEIVE = """\
#!/bin/sh
# archiver: the archive is written by its own program only.
echo "archiver: pushes into the archive are refused. Nothing was changed." >&2
exit 1
"""

#: The name of the hook that ``CONFIG`` itself defines, and the event for which git runs this hook.
GUARD_NAME, GUARDED_EVENT = "guard", "reference-transaction"
#: The text of each hook file by its name; the files are executable.
HOOKS = {"reference-transaction": _REFERENCE_TRANSACTION, "pre-receive": _PRE_RECEIVE}

#: SHA-256 of the texts that earlier releases wrote, which are as safe to run as the present ones.  When a text
#: above is changed, the digest of the old text must be added here.
_EARLIER_DIGESTS = {
    "config": {
        "c01f266616fe81536fe00f12b1b420c30ea8c4b6ab9cae704c0c3666c4df505b",
        "cb1a3c0045e44409f232d908ca93f99cfc50833ac8d6f13018ddbe725a8a375c",
    },
    "hooks/reference-transaction": {
        "1398137c8384386eef01552ca8dc38afc1ec8232a54f3ef2531fcd42807bceaa",
        "fa65ad6f6daba32e21f4d34677f7474c00a0e276b45e3c7136309a67320eae71",
    },
}

#: Files that make git see other objects, or other parents of a commit.
_REDIRECTIONS = (
    "commondir",
    "shallow",
    "info/grafts",
    "objects/info/alternates",
    "objects/info/http-alternates",
)
_HOOK_NAME = re.compile(r"[a-z0-9-]+")
#: Our files have at most two kilobytes; a longer file is refused instead of being read as a whole.
_MAX_FILE_BYTES = 1 << 16

#: The reasons why a file differs from what this release writes.
EARLIER, GIT_LFS, MISSING = "earlier release", "git-lfs", "missing"
NOT_EXECUTABLE, ALTERED, FOREIGN = "not executable", "altered", "foreign"

RESTORE = "archiver maintain --restore-settings"


class Deviation(NamedTuple):
    """A file of the repository that differs from the text of this release.

    ``name`` is the path below the repository, such as ``hooks/pre-push``.  ``reason`` is one of the constants
    above, such as ``MISSING``.  ``sha256`` is the hexadecimal digest of the present content; empty if there is no
    plain file of a reasonable size.
    """

    name: str
    reason: str
    sha256: str = ""

    @property
    def weakens(self) -> bool:
        """Return True if a guard rail may have no effect because of the difference."""
        return self.reason not in (EARLIER, GIT_LFS)


class NotPlain(Exception):
    """The path leads to a link, a pipe, a folder, or a file too long to be ours."""


def deviations(repository: Path) -> list[Deviation]:
    """Compare settings and hooks with the expected texts; return an empty list if nothing differs.

    Reads a few small files and starts no process, so this is fast.  Raises StorageError if a file cannot be read.
    """
    return [deviation for deviation in _compare_files(repository) if deviation is not None]


def is_config_foreign(repository: Path) -> bool:
    """Return True if neither archiver nor git-lfs wrote the present ``config``.

    Raises StorageError if the file cannot be read.
    """
    deviation = _compare_config(repository)
    return deviation is not None and deviation.reason == FOREIGN


def is_hook_name(name: str) -> bool:
    """Return True if git may run a hook of this name. Git never runs a copy such as ``pre-receive~``."""
    return _HOOK_NAME.fullmatch(name) is not None


def redirections(repository: Path) -> list[str]:
    """Return the names of the existing files that make git see other objects, or other parents of a commit."""
    return [name for name in _REDIRECTIONS if is_there(repository / name, follow_links=False)]


def texts() -> dict[str, str]:
    """Return the text of every file that this release writes, by the path below the repository."""
    return {"config": CONFIG, "HEAD": HEAD, **{f"hooks/{name}": text for name, text in HOOKS.items()}}


def put(repository: Path, name: str) -> None:
    """Write the file ``name`` of :func:`texts`, and replace any file or link of the same name.

    The bytes are durable when this returns, but the name only after the caller has synced the filesystem.  The
    mode follows the umask.  Raises OSError, for example if a folder has that name.
    """
    target = repository / name
    target.parent.mkdir(exist_ok=True)
    new_path = target.with_name(f"{target.name}.archiver-new")
    # Left by a crash.
    new_path.unlink(missing_ok=True)
    mode = 0o777 if name.startswith("hooks/") else 0o666
    descriptor = os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as stream:
        stream.write(texts()[name].encode("ascii"))
        stream.flush()
        os.fsync(descriptor)
    os.rename(new_path, target)


def _compare_files(repository: Path) -> Iterator[Deviation | None]:
    """Yield the result of each comparison: a deviation, or None for a correct file."""
    yield _compare_config(repository)
    yield _compare_head(repository)
    for name in redirections(repository):
        yield _describe_forbidden_file(repository, name)
    try:
        folder_status = os.lstat(repository / "hooks")
    except FileNotFoundError:
        hook_names = []
    else:
        # A link, for example, could lead to any hooks.
        if not stat.S_ISDIR(folder_status.st_mode):
            yield Deviation("hooks", FOREIGN)
            return
        hook_names = _list_names(repository / "hooks")
    for hook_name in HOOKS:
        yield _compare_our_hook(repository, hook_name)
    for hook_name in hook_names:
        if hook_name not in HOOKS and is_hook_name(hook_name):
            yield _classify_other_hook(repository, hook_name)


def _compare_config(repository: Path) -> Deviation | None:
    """Compare ``config`` with the texts of this and earlier releases, with and without additions of git-lfs."""
    try:
        text = read_plain(repository / "config")
    except NotPlain:
        return Deviation("config", FOREIGN)
    if text is None:
        return Deviation("config", MISSING)
    if text == CONFIG.encode():
        return None
    digest = _compute_sha256(text)
    our_digests = {_compute_sha256(CONFIG.encode()), *_EARLIER_DIGESTS["config"]}
    if digest in our_digests:
        return Deviation("config", EARLIER, digest)
    for addition in lfs_additions.SETTINGS:
        if text.endswith(addition) and _compute_sha256(text.removesuffix(addition)) in our_digests:
            return Deviation("config", GIT_LFS, digest)
    return Deviation("config", FOREIGN, digest)


def _compare_head(repository: Path) -> Deviation | None:
    """Compare ``HEAD``; another text counts as altered, not foreign, because it cannot make git run anything."""
    try:
        text = read_plain(repository / "HEAD")
    except NotPlain:
        return Deviation("HEAD", FOREIGN)
    if text == HEAD.encode():
        return None
    return Deviation("HEAD", MISSING) if text is None else Deviation("HEAD", ALTERED, _compute_sha256(text))


def _compare_our_hook(repository: Path, hook: str) -> Deviation | None:
    """Compare the text and the mode of one of our hooks; ``hook`` is the file's name in the hooks folder."""
    name = f"hooks/{hook}"
    try:
        text = read_plain(repository / name)
    except NotPlain:
        return Deviation(name, FOREIGN)
    if text is None:
        return Deviation(name, MISSING)
    digest = _compute_sha256(text)
    if text == HOOKS[hook].encode():
        # Not access(2): for root it succeeds if anybody may execute the file, even if its owner may not.
        is_executable = os.stat(repository / name, follow_symlinks=False).st_mode & stat.S_IXUSR
        return None if is_executable else Deviation(name, NOT_EXECUTABLE, digest)
    return Deviation(name, EARLIER if digest in _EARLIER_DIGESTS.get(name, ()) else FOREIGN, digest)


def _classify_other_hook(repository: Path, hook: str) -> Deviation:
    """Return the deviation for a hook that is not ours, which is foreign unless git-lfs installed it."""
    try:
        text = read_plain(repository / "hooks" / hook)
    except NotPlain:
        text = None
    if text is None:
        return Deviation(f"hooks/{hook}", FOREIGN)
    return Deviation(
        f"hooks/{hook}", GIT_LFS if text in lfs_additions.hook_texts(hook) else FOREIGN, _compute_sha256(text)
    )


def _describe_forbidden_file(repository: Path, name: str) -> Deviation:
    """Return the deviation for ``name``, a file that must not exist in an archive."""
    try:
        text = read_plain(repository / name)
    except NotPlain:
        text = None
    return Deviation(name, FOREIGN, "" if text is None else _compute_sha256(text))


def read_plain(path: Path) -> bytes | None:
    """Return the bytes of a plain file; None if nothing exists at ``path``.

    Raises NotPlain for anything but a plain file of a reasonable size, StorageError if the file cannot be read.
    """
    try:
        # Opening a pipe would wait for a writer, and a link could lead to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:  # No error, because the caller reports missing files.
        return None
    except OSError as error:
        # A link, a socket, or a file in place of the folder.
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise NotPlain from None
        raise _unreadable_error(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotPlain
        # One byte more than allowed shows that the file is too long.
        text = os.read(descriptor, _MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable_error(path, error) from None
    finally:
        os.close(descriptor)
    if len(text) > _MAX_FILE_BYTES:
        raise NotPlain
    return text


def _list_names(folder: Path) -> list[str]:
    """Return the sorted names in a folder; raises StorageError if it cannot be listed."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise _unreadable_error(folder, error) from None


def _unreadable_error(path: Path, error: OSError) -> StorageError:
    """Return the error for a file or folder that cannot be compared."""
    return StorageError(
        "Cannot read {path} ({reason}). Nothing was changed. Check the disk and the permissions of the archive.",
        path=path,
        reason=error.strerror or error,
    )


def _compute_sha256(text: bytes) -> str:
    """Return the hexadecimal SHA-256 of a file's text."""
    return hashlib.sha256(text).hexdigest()
