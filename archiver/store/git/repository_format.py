"""How a repository keeps its refs and names its objects: asked before anything is written over it.

git 3 makes repositories of another format than every git before it, and a clone has that of whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from archiver.errors import LazyMessage, StorageError
from archiver.path_existence import is_plain_file
from archiver.store.git import hooks
from archiver.store.git.commands import GitCommands

#: As ``-c`` of every command that makes a repository.  Not --ref-format=files: git before 2.45 would refuse that,
#: while it passes over a setting that it does not know.
KEEP_REFS_IN_FILES = "init.defaultRefFormat=files"

_VERSIONS = ("0", "1")
#: What an archive has, or what changes nothing about refs and objects; the value that has to stand there, if any.
_KNOWN_EXTENSIONS = {
    "noop": None,
    "noop-v1": None,
    "objectformat": "sha1",
    "preciousobjects": None,
    "refstorage": "files",
    "relativeworktrees": None,
    "worktreeconfig": None,
}
_FALSE = ("", "0", "false", "no", "off")


def read_settings(repository: Path) -> dict[str, str]:
    """Return what ``config`` says, with keys as git spells them; nothing where there is none.

    git parses it without obeying it, and includes no other file, as it does for the format.
    Raises StorageError where that is no text of settings.
    """
    path = repository / "config"
    try:
        text = hooks.read_plain(path)
    except hooks.NotPlain:
        raise _unreadable(path, LazyMessage("it is no plain file, or too long")) from None
    # Of no repository, not even of this one: its settings would be in force.
    nowhere = GitCommands(Path("/"))
    arguments = ("config", "--file", "-", "--no-includes", "--null", "--list")
    status, out, err = nowhere.attempt(*arguments, stdin=text or b"")
    if status != 0:
        raise _unreadable(path, err.decode("utf-8", "replace").strip())
    lines = out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    # A key without a value is true.
    return {key: value if equals else "true" for key, equals, value in (line.partition("\n") for line in lines)}


def oddities(repository: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Yield what is said there about its format and is not so of an archive, as ``key=value``.

    Raises OSError where that cannot be looked at.
    """
    version = settings.get("core.repositoryformatversion", _VERSIONS[0])
    if version not in _VERSIONS:
        yield f"core.repositoryformatversion={version}"
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if section == "extensions" and not _is_known(name, value):
            yield f"{key}={value}"
    if keeps_refs_in_tables(repository):
        yield "extensions.refstorage=reftable"


def _is_known(extension: str, value: str) -> bool:
    return extension in _KNOWN_EXTENSIONS and _KNOWN_EXTENSIONS[extension] in (None, value.lower())


def check_made(repository: Path) -> None:
    """Ask what git just made: its release decides, and whatever stands in its place; raises StorageError."""
    odd = [*oddities(repository, read_settings(repository))]
    try:
        head = (repository / "HEAD").read_text("utf-8", "replace").strip()
    except OSError as error:
        head = error.strerror or ""
    if not head.startswith("ref: refs/heads/") or head.endswith("/.invalid"):
        odd.append(f"HEAD={head}")
    if odd:
        raise StorageError(
            "git made a repository of another format than it was told to at {path} ({format}). It was removed, "
            "and nothing else was changed. Use another release of git, and see whether a script stands in its "
            "place in PATH.",
            path=repository,
            format=", ".join(odd),
        )


def keeps_refs_in_tables(repository: Path) -> bool:
    """Return True if it is a ``reftable`` one, whatever ``config`` says by now; raises OSError.

    git makes a file of this folder then, for every git before 2.45 to fail.
    """
    return is_plain_file(repository / "refs" / "heads")


def is_partial(settings: Mapping[str, str]) -> bool:
    """Return True if objects are missing that git would fetch when they are needed."""
    return "extensions.partialclone" in settings or any(
        key.startswith("remote.") and key.endswith(".promisor") and value.lower() not in _FALSE
        for key, value in settings.items()
    )


def reftable_problem(repository: Path) -> StorageError:
    """Return the error for a repository that has to be converted first."""
    return StorageError(
        "{path} keeps its refs in the reftable format, and an archive keeps them in files. Nothing was changed. "
        "Run this with git 2.46 or later (on another machine, with its path there), and then try again: "
        "git --git-dir={path!q} refs migrate --ref-format=files",
        path=repository,
    )


def _unreadable(path: Path, reason: object) -> StorageError:
    return StorageError(
        "The settings {path} cannot be read: {reason}. Nothing was changed. Look at the file; if it is a clone's, "
        "make the clone again.",
        path=path,
        reason=reason,
    )
