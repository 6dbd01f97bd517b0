"""The names of filings, submissions and versions in the form of git's refs, which know their name for people."""

from __future__ import annotations

from typing import Any

from archiver.naming.readable_names import ReadableName, make_displayable, name_from_text, readable_name

#: The name of the submission that holds the materials directly in a filing's folder.
COMMON = "_common"
#: The name of the filing that holds the materials directly in the watched folder.
UNFILED = "_unfiled"
#: Takes the place of the filing in the names of the signed tags of checkpoints.
CHECKPOINTS = "_checkpoints"
#: The program uses these names itself. A folder of the same name has an escape at its beginning.
RESERVED_NAMES = frozenset({COMMON, UNFILED, CHECKPOINTS})
#: The reserved names with an escape at their beginning, in the ref form and for people.
_ESCAPED_RESERVED = frozenset(f"%5F{reserved_name[1:]}" for reserved_name in RESERVED_NAMES)

#: Marks a shortened component; not ``%~``, because git refuses ``~`` in refs.
SHORTENED_MARK = "%+"
#: Hexadecimal digits of the folder name's SHA-256 that end a shortened component, so that it stays unique.
DIGEST_DIGITS = 16

#: Shortened component -> raw name of the folder. The digest in the component makes every entry right for ever, so
#: nothing has to be removed, and an archive has few folders with so long a name.
_folder_by_shortened: dict[str, bytes] = {}


class RefName(str):
    """The name of a filing, a submission or a version in the form of git's refs, such as a tag.

    It is a text like any other for git, SQLite and JSON.  Whatever prints for people uses :attr:`for_people`.
    """

    __slots__ = ()

    @property
    def for_people(self) -> ReadableName:
        """The name as people read and type it, with the names of the folders.

        A dash at the beginning stays an escape, because commands would take the name for an option.
        """
        name = "/".join(map(_read_component, self.split("/")))
        return ReadableName(f"%2D{name[1:]}" if name.startswith("-") else name)

    @property
    def path_in_packages(self) -> bytes:
        """The raw names of the folders as a path, in which different names have different paths.

        A folder that is called like one of the program's own has a NUL behind its name, which no name contains.
        """
        return b"/".join(
            name_from_text(component) + b"\0"
            if component in _ESCAPED_RESERVED
            else _raw_name(component) or component.encode("utf-8")
            for component in self.split("/")
        )


def remember_folder_name(component: str, raw_name: bytes) -> None:
    """Remember the raw name behind a shortened ref component, from which it cannot be decoded.

    Does nothing for any other component, or if the digest in the component is that of another name.
    """
    if component[-DIGEST_DIGITS - len(SHORTENED_MARK) : -DIGEST_DIGITS] != SHORTENED_MARK:
        return
    import hashlib  # only here, because hardly any name is that long

    if hashlib.sha256(raw_name).hexdigest()[:DIGEST_DIGITS] == component[-DIGEST_DIGITS:]:
        _folder_by_shortened[component] = raw_name


def _read_component(component: str) -> ReadableName:
    """Return the name for people of a component of a ref; the component itself if its folder's name is unknown."""
    if "%" not in component and component.isprintable():
        return ReadableName(component)
    if component in _ESCAPED_RESERVED:
        # Without the escape, people would mean the program's own name.
        return ReadableName(component)
    raw_name = _raw_name(component)
    return ReadableName(make_displayable(component)) if raw_name is None else readable_name(raw_name)


def _raw_name(component: str) -> bytes | None:
    """Return the raw name of the folder behind a component; None if it is unknown, as it was shortened."""
    return _folder_by_shortened.get(component) if SHORTENED_MARK in component else name_from_text(component)


def to_readable(value: Any) -> Any:
    """Return the name for people instead of a :class:`RefName`, and any other value unchanged."""
    return value.for_people if isinstance(value, RefName) else value
