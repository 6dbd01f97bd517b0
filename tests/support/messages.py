"""Every message that a person may see, read from the source.

``python -m tests.support.messages`` enters new ones into the catalogue, drops those that
are gone, and compiles it; the translations are then written by hand.

A template is found where it is written: in ``LazyMessage(...)``, in ``LazyMessage.define(...)``, and as the argument of a
function with a parameter called ``template``, which is looked up in the source too.  A template that is computed,
or comes from somewhere else, is an :class:`Unwritten`, and a test fails.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import archiver
from archiver.errors import ArchiverError
from tests.support.syntax_trees import parse_module

ROOT = Path(archiver.__file__).parent
CATALOGUE = ROOT / "locale/zh/LC_MESSAGES/archiver.po"
#: The class itself, and what puts messages together that were taken apart.
IMPLEMENTATION = ROOT / "errors.py"
PHRASE = "LazyMessage"


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


@dataclass(frozen=True, order=True)
class Message:
    """An entry of the catalogue; ``singular`` and ``context`` are empty where it has none."""

    template: str
    singular: str = ""
    context: str = ""
    code: str = field(default="", compare=False)

    @property
    def forms(self) -> tuple[str, ...]:
        return (self.singular, self.template) if self.singular else (self.template,)


@dataclass(frozen=True)
class Unwritten:
    """A place where a message is made of something that is not written there."""

    path: Path
    line: int
    source: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.source}"


@dataclass
class Source:
    """What the package's source says about messages."""

    #: Function or class -> place of the template among the arguments of a call.
    sinks: dict[str, int] = field(default_factory=dict)
    #: Names of what is called like a Reporter: parameters, attributes, variables.
    reporters: set[str] = field(default_factory=set)
    #: Classes whose objects are called like a Reporter.
    made_and_called: set[str] = field(default_factory=set)
    #: Constants that are one message.
    constants: set[str] = field(default_factory=set)
    messages: set[Message] = field(default_factory=set)
    unwritten: list[Unwritten] = field(default_factory=list)


@functools.cache
def sources() -> dict[Path, ast.Module]:
    """The syntax trees of the package's modules."""
    # The verifier of a package brings its own words.
    paths = [path for path in sorted(ROOT.rglob("*.py")) if "resources" not in path.parts]
    return {path: parse_module(path) for path in paths}


@functools.cache
def read_package() -> Source:
    """Find every message of the package, and every place where one cannot be found."""
    return read_source(sources())


def read_source(trees: dict[Path, ast.Module]) -> Source:
    """Find the messages of these modules, and the places where one cannot be found."""
    source = Source()
    nodes = [node for path, tree in trees.items() if path != IMPLEMENTATION for node in ast.walk(tree)]
    source.constants = {
        _name(target)
        for node in nodes
        if isinstance(node, ast.Assign) and _is_message(node.value)
        for target in node.targets
        if _name(target).isupper()
    }
    _find_sinks(source, nodes)
    _find_reporters(source, nodes)
    for path, tree in trees.items():
        if path != IMPLEMENTATION:
            _Reader(source, path).visit(tree)
    return source


def _find_sinks(source: Source, nodes: list[ast.AST]) -> None:
    """Look up which functions and classes take a template."""
    source.sinks = dict.fromkeys((cls.__name__ for cls in error_classes()), 0)
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
            if (place := _place(node)) is not None:
                source.sinks[node.name] = place
        elif isinstance(node, ast.ClassDef) and (place := _place_in(node, "__init__")) is not None:
            source.sinks[node.name] = place


def _find_reporters(source: Source, nodes: list[ast.AST]) -> None:
    """Look up under which names something like a Reporter is called."""
    classes = {
        node.name for node in nodes if isinstance(node, ast.ClassDef) and _place_in(node, "__call__") is not None
    }
    source.reporters = {
        argument.arg
        for node in nodes
        if isinstance(node, ast.FunctionDef)
        for argument in [*node.args.args, *node.args.kwonlyargs]
        if argument.annotation is not None and "Reporter" in ast.unparse(argument.annotation)
    }
    for node in nodes:
        if isinstance(node, ast.Assign) and (
            _name(node.value) in source.reporters
            or (isinstance(node.value, ast.Call) and _name(node.value.func) in classes)
        ):
            source.reporters |= {_name(target) for target in node.targets}
    source.made_and_called = classes


def _place_in(node: ast.ClassDef, method: str) -> int | None:
    """Where a call of a class, or of what it makes, has the template."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == method:
            return _place(each)
    return None


def _place(function: ast.FunctionDef) -> int | None:
    """Where a call of the function has the template; None for a function without one."""
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    if "template" not in names:
        return None
    return names.index("template") - (names[0] in ("self", "cls"))


class _Reader(ast.NodeVisitor):
    """Collects the messages of one module."""

    def __init__(self, source: Source, path: Path) -> None:
        self._source = source
        self._path = path
        #: Names of the enclosing functions that hold a message.
        self._messages: list[set[str]] = [set()]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        held = {each.arg for each in arguments if each.annotation and ast.unparse(each.annotation) == PHRASE}
        held |= {each.arg for each in arguments if each.arg == "template"}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and _is_message(inner.value):
                held |= {_name(target) for target in inner.targets}
        self._messages.append(self._messages[-1] | held)
        self.generic_visit(node)
        self._messages.pop()

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        source, name = self._source, _name(node.func)
        if _is_phrase(node):
            self._collect_phrase(node)
        elif name in source.sinks and len(node.args) > source.sinks[name]:
            self._collect(node.args[source.sinks[name]])
        elif node.args and (name in source.reporters or _is_made_of(node.func, source.made_and_called)):
            self._collect(node.args[0])

    def _collect_phrase(self, node: ast.Call) -> None:
        given = {each.arg: each.value for each in node.keywords} if _name(node.func) == "define" else {}
        named = {key: value for key, value in given.items() if key in ("code", "context", "singular")}
        values = {key: value.value for key, value in named.items() if isinstance(value, ast.Constant)}
        templates = list(_strings(node.args[0])) if node.args else []
        is_forwarded = bool(node.args) and _name(node.args[0]) in self._messages[-1]
        if len(values) != len(named) or not (templates or is_forwarded):
            self._miss(node)
        self._source.messages |= {Message(template, **values) for template in templates}

    def _collect(self, node: ast.expr) -> None:
        if isinstance(node, ast.IfExp):
            self._collect(node.body)
            self._collect(node.orelse)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._source.messages.add(Message(node.value))
        elif not (_is_message(node) or _name(node) in self._messages[-1] | self._source.constants):
            self._miss(node)

    def _miss(self, node: ast.expr) -> None:
        self._source.unwritten.append(Unwritten(self._path, node.lineno, ast.unparse(node)))


def _is_phrase(node: ast.expr) -> bool:
    """Whether the node is ``LazyMessage(...)`` or ``LazyMessage.define(...)``."""
    if not isinstance(node, ast.Call):
        return False
    if _name(node.func) == "define" and isinstance(node.func, ast.Attribute):
        return _name(node.func.value) == PHRASE
    return _name(node.func) == PHRASE


def _is_made_of(node: ast.expr, classes: set[str]) -> bool:
    """Whether the node makes an object of one of the classes, as in ``Log(teller)("...")``."""
    return isinstance(node, ast.Call) and _name(node.func) in classes


def _is_message(node: ast.expr) -> bool:
    """Whether the value is a message; that each attribute called ``message`` is one, another test sees to."""
    if isinstance(node, ast.Call) and _name(node.func) in ("with_fields", "message_from", "from_parts"):
        return True
    return _is_phrase(node) or (isinstance(node, ast.Attribute) and node.attr == "message")


def messages() -> set[Message]:
    """Every entry that the catalogue needs."""
    found = read_package().messages | {Message(text) for text in CLICK | help_texts()}
    found |= {Message(plural, singular) for singular, plural in PLURAL}
    # A message of nothing but fields is the same in every language.
    return {message for message in found if not re.fullmatch(r"\s*(\{\w+\}\s*)*", message.template)}


def catalogue() -> dict[Message, str]:
    """The Chinese messages, empty where one is not translated yet."""
    with open(CATALOGUE, "rb") as stream:
        return entries(read_po(stream, locale="zh"))


def entries(found: Catalog) -> dict[Message, str]:
    """The messages of a catalogue with their one Chinese form."""
    chinese = {}
    for entry in found:
        if entry.id:
            forms = (entry.id,) if isinstance(entry.id, str) else entry.id
            message = Message(forms[-1], forms[0] if len(forms) > 1 else "", entry.context or "")
            chinese[message] = entry.string if isinstance(entry.string, str) else entry.string[0]
    return chinese


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
    """String literals, also in a conditional expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _strings(node.body)
        yield from _strings(node.orelse)


def update() -> None:
    """Bring the catalogue in line with the source and compile it."""
    with open(CATALOGUE, "rb") as stream:
        old = read_po(stream, locale="zh")
    new = Catalog(locale="zh", header_comment=old.header_comment, fuzzy=False)
    new.mime_headers = old.mime_headers
    for message in sorted(messages()):
        identity: Any = message.forms if message.singular else message.template
        new.add(identity, _translation(old, message), context=message.context or None)
    with open(CATALOGUE, "wb") as stream:
        write_po(stream, new, width=110, sort_output=True)
    with open(CATALOGUE.with_suffix(".mo"), "wb") as stream:
        write_mo(stream, new)


def _translation(old: Catalog, message: Message) -> str | tuple[str, ...]:
    """The translation so far: also of a message that has got a number or a context since."""
    for identity, context in (
        (message.forms[0], message.context or None),
        (message.template, message.context or None),
        (message.template, None),
    ):
        known = old.get(identity, context)
        if known is not None and known.string:
            text = known.string if isinstance(known.string, str) else known.string[0]
            return (text,) if message.singular else text
    return ("",) if message.singular else ""


if __name__ == "__main__":
    update()
