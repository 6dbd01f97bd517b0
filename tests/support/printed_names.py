"""Check that every tag that a command prints is the name for people, and is found when somebody copies it.

:meth:`tests.support.site.Site.run` calls :func:`check_output` for each command of the suite.  To run ``show`` for
each printed tag would take longer than the suite, so the step of ``show`` that finds the version is called here,
once for each tag of a site.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from archiver.errors import shell_word
from archiver.naming.ref_names import RefName
from archiver.store.index.index_schema import IndexDamaged
from archiver.store.index.queries import Index
from archiver.store.resolve import ref_spellings

#: The end of a tag: the version, or a submission to the regulator.  What is before may contain spaces.
_TAG_END = re.compile(r"[^\s/]/[^\s/]*[^\s/:]/(?:v[0-9]+|submitted(?:-[0-9]+)?)(?![\w/.-])")
#: The members of ``--json`` beside which a name for people stands.
_TAG_MEMBERS = {"tag": "name", "tags": "names"}
#: Sites of benchmarks have more, and their names are not odd.
_MOST_TAGS = 2_000
#: A version that only a database set aside has cannot be shown, and the ref of a damaged repository is no tag.
_NOT_IN_JOURNAL = re.compile(r"^(?:Lost|丢失).*$|refs/\S+|\S+\.(?:html|jsonl?)\b.*", re.MULTILINE)


class PrintedNames:
    """The names of one site that were found to be those of versions."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._tags: frozenset[str] = frozenset()
        self._names: tuple[str, ...] = ()
        self._ref_forms: tuple[str, ...] = ()

    def check_output(self, arguments: Sequence[object], output: str) -> None:
        """Assert that the tags in ``output`` are names for people, which commands accept.

        Names that the arguments contain are an echo: anything may be typed.
        """
        if not _TAG_END.search(output) and "%" not in output:
            return
        if not self._read_tags():
            return
        typed = " ".join(map(_as_text, arguments))
        for text in (output,) if output[:1] != "{" or "\n{" not in output else output.splitlines():
            try:
                document = json.loads(text)
            except ValueError:
                self._check_text(typed, _NOT_IN_JOURNAL.sub("", text))
            else:
                check_document(document)

    def _check_text(self, typed: str, output: str) -> None:
        for ref_form in self._ref_forms:
            assert ref_form not in output or ref_form in typed, f"{ref_form} is for git only:\n{output}"
        for end in _TAG_END.finditer(output):
            line = output[: end.end()].rpartition("\n")[2]
            assert line.endswith(self._names) or end[0] in typed, f"no version has this name: {line}"

    def _read_tags(self) -> bool:
        """Read the tags, and find each new one by its name; False without an index, or with too many tags."""
        try:
            with closing(Index(self._archive / "index.db", read_only=True)) as index:
                tags = index.all_tags()
                if len(tags) > _MOST_TAGS:
                    return False
                submissions = [submission.ref_name for submission in index.submissions()]
                for tag in set(tags) - self._tags:
                    spelling = next(filter(index.find_version, ref_spellings(tag.for_people)), None)
                    assert spelling == tag, f"{tag.for_people} is {spelling}, not {tag}"
        except (OSError, sqlite3.Error, IndexDamaged):
            # The test damaged or removed the index, or is about an archive of another user.
            return False
        self._tags = frozenset(tags)
        readable = [tag.for_people for tag in tags]
        self._names = (*readable, *(shell_word(name)[2:-1] for name in readable if not name.isprintable()))
        known = {*tags, *submissions, *(RefName(name.split("/")[0]) for name in submissions)}
        self._ref_forms = tuple(name for name in known if name != name.for_people)
        return True


def check_document(document: Any) -> None:
    """Assert that the name for people stands beside every tag in a document of ``--json``."""
    if isinstance(document, dict):
        for member, name_member in _TAG_MEMBERS.items():
            if document.get(member):
                assert name_member in document, f"{member} without {name_member}: {document}"
        for member, value in document.items():
            name = document.get(_TAG_MEMBERS.get(member, f"{member}_name"))
            if isinstance(value, str) and isinstance(name, str):
                assert RefName(value).for_people == name, f"{member}: {value} is not {name}"
                assert ref_spellings(name)[0] == value or "%+" in value, f"{name} is not found as {value}"
            check_document(value)
    elif isinstance(document, list):
        for item in document:
            check_document(item)


def _as_text(argument: object) -> str:
    return argument.decode("utf-8", "surrogateescape") if isinstance(argument, bytes) else str(argument)
