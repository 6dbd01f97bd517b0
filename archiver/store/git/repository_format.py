"""Determine the format in which a repository keeps refs and names objects, before its settings are replaced.

Git 3 creates repositories in another format than earlier releases, and the format of a clone depends on the
release of git that created the clone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from archiver.errors import LazyMessage, StorageError
from archiver.path_existence import is_folder, is_plain_file, is_there
from archiver.store.git import hooks
from archiver.store.git.commands import GitCommands

#: The setting for ``-c`` of every command that creates a repository.  The option --ref-format=files is no
#: alternative: git before 2.45 refuses an unknown option, but ignores an unknown setting.
KEEP_REFS_IN_FILES = "init.defaultRefFormat=files"

_FORMAT_VERSIONS = ("0", "1")
#: Git extensions that an archive uses, or that do not affect refs and objects, and the only value that is
#: accepted; None accepts every value.
_ALLOWED_EXTENSIONS = {
    "noop": None,
    "noop-v1": None,
    "objectformat": "sha1",
    "preciousobjects": None,
    "refstorage": "files",
    "relativeworktrees": None,
    "worktreeconfig": None,
}
#: Settings that say how refs and objects are stored.  With other values, our own git would misread both.
_FORMAT_SETTINGS = ("core.repositoryformatversion=", "extensions.objectformat=", "extensions.refstorage=")
#: What git writes into ``config`` of a new bare repository of the format that an archive has.
_DEFAULT_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
#: Values that git reads as false.
_FALSE_VALUES = ("", "0", "false", "no", "off")


def read_settings(repository: Path) -> dict[str, str]:
    """Return the values in ``config`` by their keys in lower case, as git prints them; none without the file.

    Git only parses the text, and obeys none of the settings.  Files that ``config`` includes are left out, because
    git ignores them, too, when it determines the format.  Raises StorageError if ``config`` is not a plain file,
    or cannot be read or parsed.
    """
    path = repository / "config"
    try:
        text = hooks.read_plain(path)
    except hooks.NotPlain:
        raise _unreadable_error(path, LazyMessage("it is not a regular file, or it is too long")) from None
    # Run git outside of the repository: inside, git would obey the settings.
    git_outside_repository = GitCommands(Path("/"), has_repository=False)
    arguments = ("config", "--file", "-", "--no-includes", "--null", "--list")
    status, out, err = git_outside_repository.attempt(*arguments, stdin=text or b"")
    if status != 0:
        raise _unreadable_error(path, err.decode("utf-8", "replace").strip())
    lines = out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    # Each entry is the key, a line feed and the value; an entry without a line feed means "true".
    return {key: value if equals else "true" for key, equals, value in (line.partition("\n") for line in lines)}


def oddities(repository: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Yield, as ``key=value``, each setting of the repository's format that an archive cannot have.

    ``settings`` is the result of :func:`read_settings`.  Raises OSError if the folder of refs cannot be examined.
    """
    version = settings.get("core.repositoryformatversion", _FORMAT_VERSIONS[0])
    if version not in _FORMAT_VERSIONS:
        yield f"core.repositoryformatversion={version}"
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if section == "extensions" and not _is_allowed_extension(name, value):
            yield f"{key}={value}"
    if keeps_refs_in_tables(repository):
        yield "extensions.refstorage=reftable"


def _is_allowed_extension(extension: str, value: str) -> bool:
    """Return True if an archive may have this git extension with this value."""
    return extension in _ALLOWED_EXTENSIONS and _ALLOWED_EXTENSIONS[extension] in (None, value.lower())


def check_made(repository: Path) -> None:
    """Raise StorageError unless the repository that git has just created has the format of an archive.

    The format depends on the release of git, and on any script that replaces git in PATH.
    """
    # Comparing the bytes saves the start of a git process.
    settings = {} if _has_default_config(repository) else read_settings(repository)
    unusual_settings = [*oddities(repository, settings)]
    try:
        head = (repository / "HEAD").read_text("utf-8", "replace").strip()
    except OSError as error:
        head = error.strerror or ""
    # Git writes ".invalid" if the refs are in another format than files.
    if not head.startswith("ref: refs/heads/") or head.endswith("/.invalid"):
        unusual_settings.append(f"HEAD={head}")
    if unusual_settings:
        raise StorageError(
            "git created a repository at {path} in another format than requested ({format}). The repository was "
            "removed. Nothing was changed. Use another release of git, and check whether a script replaces git "
            "in PATH.",
            path=repository,
            format=", ".join(unusual_settings),
        )


def _has_default_config(repository: Path) -> bool:
    """Return True if ``config`` is what git usually writes, and therefore sets no unusual format."""
    try:
        return hooks.read_plain(repository / "config") == _DEFAULT_CONFIG
    except hooks.NotPlain:
        return False


def check_readable(repository: Path) -> None:
    """Raise StorageError if a file or setting of the repository would make git misread its refs or objects.

    A git process is started only if neither archiver nor git-lfs wrote the present ``config``, so this is fast.
    """
    outside_files = hooks.redirections(repository)
    if outside_files:
        raise StorageError(
            "{files} in {repository} would make git see other objects or another history. Nothing was changed. To "
            "restore archiver's files and keep the present files for examination, run as the archive owner: "
            "{command}",
            files=", ".join(outside_files),
            repository=repository,
            command=hooks.RESTORE,
        )
    packed_path = repository / "packed-refs"
    is_special = is_there(packed_path, follow_links=False) and not is_plain_file(packed_path)
    if is_special and not is_folder(packed_path, follow_links=False):
        raise StorageError(
            "{path} is not a regular file, so git was not run. Nothing was changed. Find out who put it there, "
            "and remove it manually.",
            path=packed_path,
        )
    if keeps_refs_in_tables(repository):
        raise reftable_problem(repository)
    if not hooks.is_config_foreign(repository):
        return
    try:
        unusual_settings = [*oddities(repository, read_settings(repository))]
    except StorageError:
        # Git cannot read the settings either, so they have no effect on the format; ``archiver verify`` reports
        # the file.
        return
    unusual_settings = [setting for setting in unusual_settings if setting.startswith(_FORMAT_SETTINGS)]
    if unusual_settings:
        raise StorageError(
            "The configuration of {repository} names a format that an archive cannot have ({format}). Nothing was "
            "changed. To restore archiver's files and keep the present files for examination, run as the archive "
            "owner: {command}",
            repository=repository,
            format=", ".join(unusual_settings),
            command=hooks.RESTORE,
        )


def keeps_refs_in_tables(repository: Path) -> bool:
    """Return True if the repository keeps its refs in git's reftable format, whatever ``config`` says.

    In this format, ``refs/heads`` is a file instead of a folder, so that git before 2.45 fails.  Raises OSError if
    the folder of refs cannot be examined.
    """
    return is_plain_file(repository / "refs" / "heads")


def is_partial(settings: Mapping[str, str]) -> bool:
    """Return True for the settings of a partial clone, which lacks objects and fetches them when needed."""
    return "extensions.partialclone" in settings or any(
        key.startswith("remote.") and key.endswith(".promisor") and value.lower() not in _FALSE_VALUES
        for key, value in settings.items()
    )


def reftable_problem(repository: Path) -> StorageError:
    """Return the error for a repository in the reftable format, which must be converted before its use."""
    return StorageError(
        "{path} stores refs in the reftable format, but an archive stores refs in files. Nothing was changed. "
        "Convert the repository with git 2.46 or later, if necessary on another machine, then try again. To "
        "convert the repository, run: git --git-dir={path!q} refs migrate --ref-format=files",
        path=repository,
    )


def _unreadable_error(path: Path, reason: object) -> StorageError:
    """Return the error for a file of settings that cannot be read or parsed."""
    return StorageError(
        "Cannot read the Git configuration file {path}: {reason}. Nothing was changed. Check the file; if it "
        "belongs to a clone, clone again.",
        path=path,
        reason=reason,
    )
