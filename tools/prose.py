"""Count what makes sentences hard to read, in docstrings and in messages; ``make lint`` runs it.

    python tools/prose.py

Prints a table, and names each place that is over a limit. Exits with 1 if there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from tests.support.messages import Message, messages  # noqa: E402

_RELATIVE_OPENING = re.compile(r"(What|Whether|Where|Until|As|Of|Those|One|Whom|Who|How|That|The same|Told|Its)\b")
_PRONOUN = re.compile(r"\b(it|its|them|they|what|whoever|who|that|those|these|there|one)\b", re.IGNORECASE)
#: More than these, and a reader stumbles: the figures of code bases that read well are below.
_MOST_OPENINGS_PERCENT = 3.0
_MOST_PRONOUNS_PERCENT = 3.5

#: The only sentences that say what is safe.
_SAFETY_SENTENCES = {
    "Nothing was changed.",
    "Nothing was recorded.",
    "Nothing was deleted.",
    "No archived data was lost.",
}
_SAFETY = re.compile(
    r"\b(?:Nothing|No [a-z]+(?: [a-z]+)?) (?:was|were|is|has been) "
    r"(?:changed|recorded|deleted|lost|written|made|created|removed|sent|restored|rebuilt|done)\b[^.]*\."
)
#: A number and what it counts, such as "{count} files"; but no limit, such as "more than {value} bytes", never 1.
_COUNT = re.compile(
    r"(?<!more than )(?<!longer than )(?<!at most )(?<!at least )(?<!from 1 to )\{\w+\} (?:working )?"
    r"(?:approvals|bytes|changes|days|deadlines|events|files|findings|folders|items|objects|paths|problems|refs"
    r"|reminders|submissions|versions|years)\b"
)
#: Counts that are never 1, and so have no singular.
_KNOWN_COUNTS = frozenset({"{needed} approvals"})
#: A command to type, and a field in it that the shell would take apart.
_UNQUOTED = re.compile(r"archiver [a-z][^.;]*?\{\w+\}")
_NOT_PROSE = re.compile(r"``[^`]*``|`[^`]*`|\{[^{}]*\}|--[a-z-]+|:\w+:`[^`]*`")


@dataclass
class ProseFigures:
    """The counts of one kind of text."""

    kind: str
    text_count: int = 0
    word_count: int = 0
    opening_count: int = 0
    pronoun_count: int = 0
    #: Lines that name what must not be there at all.
    faults: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count a text, of which ``text`` is the first paragraph."""
        self.text_count += 1
        self.word_count += len(text.split())
        self.opening_count += bool(_RELATIVE_OPENING.match(text.strip()))
        self.pronoun_count += len(_PRONOUN.findall(text))

    @property
    def openings_percent(self) -> float:
        """The share of texts that open with a relative word."""
        return 100 * self.opening_count / max(self.text_count, 1)

    @property
    def pronouns_percent(self) -> float:
        """Pronouns and relative words per 100 words."""
        return 100 * self.pronoun_count / max(self.word_count, 1)

    def is_over_limit(self) -> bool:
        """Return True if there is a fault, or more of a kind than a reader takes well."""
        return (
            bool(self.faults)
            or self.openings_percent > _MOST_OPENINGS_PERCENT
            or self.pronouns_percent > _MOST_PRONOUNS_PERCENT
        )


def read_closed_words() -> re.Pattern[str]:
    """Return a pattern of all words of ``closed_words.txt``."""
    lines = (Path(__file__).parent / "closed_words.txt").read_text("utf-8").splitlines()
    words = [line for line in lines if line and not line.startswith("#")]
    return re.compile(r"(?<![\w-])(?:" + "|".join(words) + r")(?![\w-])", re.IGNORECASE)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each docstring of the package."""
    for path in sorted((CHECKOUT / "archiver").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                docstring = ast.get_docstring(node)
                if docstring:
                    yield f"{path.relative_to(CHECKOUT)}:{node.body[0].lineno}", docstring


def check_docstrings(closed_words: re.Pattern[str]) -> ProseFigures:
    """Count the package's docstrings; openings and pronouns are those of the first paragraphs."""
    figures = ProseFigures("docstrings")
    for place, docstring in docstrings():
        figures.add(docstring.split("\n\n")[0])
        figures.faults += [
            f"{place}: {found[0]!r}" for found in closed_words.finditer(_NOT_PROSE.sub("", docstring))
        ]
    return figures


def check_messages(closed_words: re.Pattern[str]) -> ProseFigures:
    """Count the program's English messages and help texts."""
    figures = ProseFigures("messages")
    for message in sorted(messages(), key=lambda message: message.template):
        # The names of fields are no prose.
        figures.add(re.sub(r"\{[^{}]*\}", "", message.template))
        figures.faults += [
            f"{message.template!r}: {fault}" for fault in find_message_faults(message, closed_words)
        ]
    return figures


def find_message_faults(message: Message, closed_words: re.Pattern[str]) -> Iterator[str]:
    """Yield what is wrong with a message."""
    template = message.template
    for found in closed_words.finditer(_NOT_PROSE.sub("", template)):
        yield f"{found[0]!r} is a word of tools/closed_words.txt"
    for found in _SAFETY.finditer(template):
        if found[0] not in _SAFETY_SENTENCES:
            yield f"{found[0]!r} is none of the four safety sentences"
    if not message.singular:
        for found in _COUNT.finditer(template):
            if found[0] not in _KNOWN_COUNTS:
                yield f"{found[0]!r} has no singular"
    if found := _UNQUOTED.search(template):
        yield f"{found[0]!r} has a field that is not quoted: write {{field!q}}"


def main() -> int:
    """Print the figures; return 1 if one is over its limit."""
    closed_words = read_closed_words()
    all_figures = [check_docstrings(closed_words), check_messages(closed_words)]
    for figures in all_figures:
        print(
            f"{figures.kind}: {figures.text_count}, {figures.openings_percent:.1f} % open with a relative word "
            f"(at most {_MOST_OPENINGS_PERCENT}), {figures.pronouns_percent:.1f} pronouns per 100 words "
            f"(at most {_MOST_PRONOUNS_PERCENT}), {len(figures.faults)} faults"
        )
        for fault in figures.faults:
            print(f"  {fault}")
    return int(any(figures.is_over_limit() for figures in all_figures))


if __name__ == "__main__":
    sys.exit(main())
