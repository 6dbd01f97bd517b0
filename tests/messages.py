"""Every message that a person may see, read from the source.

``python -m tests.messages`` enters new ones into the catalogue, drops those that
are gone, and compiles it; the translations are then written by hand.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import archiver
from archiver.errors import ArchiverError
from archiver.verify.findings import TABLE

ROOT = Path(archiver.__file__).parent
CATALOGUE = ROOT / "locale/zh/LC_MESSAGES/archiver.po"
CALLS = {
    "Unreachable",
    "say",
    "_word",
    "warn",
    "text",
    "report",
    "_report",
    "_say",
    "teller",
    "SkippedPath",
    "Phrase",
}
#: Module constants that are shown through the console.
CONSTANTS = {"_WATCHING", "_SPECIAL", "PERMISSIONS", "DETECT_ONLY", "SETTLING", "STILL_CHANGING", "BASIS", "_BASIS_IMPACT", "_BASIS_CLASS", "_BASIS_EU", "_BASIS_SEC",
             "BASIS_PROMISED", "FILING_LIVE", "HELD", "UNREAD", "OWN", "TOO_DEEP", "TOO_LONG", "TOO_FAR",
             "IGNORED", "UNREADABLE_FOLDER", "UNREADABLE_FILE", "FAILED", "BUSY", "GATHERING", "NO_EVENTS", "NO_WATCH",
             "NOT_ALL", "NOT_HEARD", "PRESENT_STATE", "IMMUTABLE", "_DISPOSED", "_REPLACED", "NOTES",
             "ENCRYPTED", "DAMAGED", "LARGE", "SLOW", "HEAVY", "UNSTARTED", "_REASONS", "PROMISES", "NO_CREDENTIALS", "UNREACHABLE", "UNTRUSTED", "NO_S3", "_REMOVED", "OTHER", "CUT", "UNLOCKED", "OFFSITE", "PARTIAL", "SENTENCES", "STATES", "FIELDS", "NOTICE_KINDS", "CHANGE_KINDS", "SCHEMES", "KINDS",
             "COMPANY", "REGULATOR", "STATUTE", "POLICY", "STATED"}  # fmt: skip
#: Words that reach the console by another way: rules, operations, heads of tables, problems.
WORDS = {"captured", "submitted", "superseded", "add", "modify", "delete", "rename", "mkdir", "rmdir", "Version", "Captured", "Files",
         "Changes", "Submitted", "Kept until", "Material", "Bytes", "SHA-256",
         "Hold", "Held", "Since", "By", "Reason", "Lifted", "ended", "Plan", "Made", "Approved by", "State",
         "carried out", "begun, not finished", "approved", "waits for approval",
         "done", "regulator", "statute", "policy", "stated", "done late", "overdue", "due today", "due soon", "open", "Filing", "Number", "Responsible", "Next due", "not answered yet", "not decided yet", "material",
         "not material", "number and link are there", "number or link is missing", "Notice", "Kind", "Received", "Due", "Answer", "What", "Who", "Basis",
         "Setting", "From", "Value"}  # fmt: skip


#: click's own words, which it asks of the same catalogue.
CLICK = {"Usage:", "Options", "Commands", "Error", "Show this message and exit.", "Show the version and exit.", "required",
         "Error: {message}", "Try '{command} {option}' for help.", "Missing argument", "Missing option", "Missing parameter",
         "No such option: {name}", "No such option {name!r}.", "default: {default}", "file", "directory", "path", "Invalid value: {message}", "Invalid value for {param_hint}: {message}",
         "Got unexpected extra argument ({args})", "Option {name!r} does not take a value.",
         "{value!r} is not a valid {number_type}.", "{value} is not in the range {range}.", "Choose from:\n\t{choices}",
         "File", "Directory", "Path", "{name} {filename!r} does not exist.", "{name} {filename!r} is a directory.",
         "{name} {filename!r} is not readable.", "Missing command.", "No such command {name!r}.", "Did you mean {name}?"}  # fmt: skip


#: What click says in two numbers.
PLURAL = {
    ("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
    ("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    ("Possible option: {possibilities}", "Possible options: {possibilities}"),
    ("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
}


def help_texts() -> set[str]:
    """What --help says of every command and option."""
    import click

    from archiver.cli.main import COMMANDS, cli

    found = set(COMMANDS.values())
    waiting: list[click.Command] = [
        cli,
        *filter(None, (cli.get_command(click.Context(cli), name) for name in COMMANDS)),
    ]
    while waiting:
        command = waiting.pop()
        if isinstance(command, click.Group) and command is not cli:
            waiting += command.commands.values()
        found.add(inspect.cleandoc(command.help or ""))
        found |= {param.help for param in command.params if isinstance(param, click.Option) and param.help}
    return found - CLICK


def messages() -> set[str]:
    errors = {cls.__name__ for cls in _subclasses(ArchiverError)}
    found = set(WORDS) | set(TABLE.values()) | CLICK | help_texts()
    for path in ROOT.rglob("*.py"):
        if "resources" in path.parts:
            # The verifier of a package brings its own words.
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in CALLS | errors:
                for argument in node.args[:1]:
                    found |= set(_strings(argument))
            if isinstance(node, ast.Call) and _name(node.func) == "problem":
                found |= set(_strings(node.args[1]))
            if isinstance(node, ast.Call) and _name(node.func) == "Rule" and node.args[4:]:
                found |= set(_strings(node.args[4]))
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(_name(target) in CONSTANTS for target in targets) and node.value is not None:
                    found |= set(_values(node.value))
    return {text for text in found if text.strip() and not re.fullmatch(r"\{\w+\}", text)}


def error_classes() -> list[type[ArchiverError]]:
    """ArchiverError and everything below it, wherever it is defined."""
    return [ArchiverError, *_subclasses(ArchiverError)]


def _subclasses(cls: type) -> Iterator[type]:
    import importlib
    import pkgutil

    for module in pkgutil.walk_packages(archiver.__path__, "archiver."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _strings(node: ast.expr) -> Iterator[str]:
    """String literals, also in a conditional expression or an ``or``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _strings(node.body)
        yield from _strings(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _strings(value)


def _values(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Dict):
        for value in node.values:
            yield from _strings(value)
    elif isinstance(node, ast.Tuple):
        for value in node.elts:
            yield from _strings(value)
    else:
        yield from _strings(node)


def update() -> None:
    """Bring the catalogue in line with the source and compile it."""
    with open(CATALOGUE, "rb") as stream:
        catalogue = read_po(stream, locale="zh")
    wanted = messages() | PLURAL
    for known in [message.id for message in catalogue if message.id and message.id not in wanted]:
        catalogue.delete(known)
    for text in sorted(wanted, key=str):
        if text not in catalogue:
            catalogue.add(text, "" if isinstance(text, str) else ("",))
    with open(CATALOGUE, "wb") as stream:
        write_po(stream, catalogue, width=110, sort_output=True)
    with open(CATALOGUE.with_suffix(".mo"), "wb") as stream:
        write_mo(stream, catalogue)


if __name__ == "__main__":
    update()
