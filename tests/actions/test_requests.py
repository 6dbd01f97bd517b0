"""Actions and their requests: one class and one handler each, found without a list, unchanged on the wire."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver import actions
from archiver.actions import protocol, registry
from archiver.actions.registry import action, decode_action_request, find_action, load_all_actions
from archiver.actions.request_fields import (
    Argument,
    Request,
    RequestField,
    encode_request,
    normalize_texts,
    request_fields,
)
from archiver.cli.main import COMMANDS
from archiver.errors import UsageError
from tests.support.site import CHECKOUT
from tests.support.syntax_trees import nodes_of_module

ACTIONS = sorted(load_all_actions())

#: What daemons and commands of the first release say to each other.  A line here never changes.
FIRST_RELEASE = {
    "submit": "name version on kind number force receipt by",
    "filing-set": "filing fields status portal_text on evidence force by",
    "filing-end": "filing on reason by",
    "notice-add": "filing kind received due days issuer document owner file by",
    "notice-answer": "number submission on by",
    "change-decide": "number material reason by",
    "display-check": "filing page",
    "remind": "",
    "hold-place": "name target reason by",
    "hold-lift": "name target reason by",
    "dispose-plan": "tags",
    "dispose-approve": "plan reason",
    "dispose-run": "plan",
    "checkpoint": "",
    "replica-sync": "",
    "maintain": "",
    "drill": "files",
    "note": "what about details",
}
#: What later releases say besides, and leave out where there is nothing to say.
LATER = {"submit": "reason receipt_paths notice_paths", "note": "filings", "replica-sync": "now"}


def wire_names(action_name: str, *, later: bool) -> str:
    fields = request_fields(load_all_actions()[action_name].request_type)
    return " ".join(field.argument.wire_name for field in fields if field.argument.is_omitted_when_empty is later)


def test_the_wire_names_of_the_first_release_are_kept() -> None:
    assert {name: wire_names(name, later=False) for name in FIRST_RELEASE} == FIRST_RELEASE
    assert {name: added for name in FIRST_RELEASE if (added := wire_names(name, later=True))} == LATER


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_says_what_it_does_and_takes(name: str) -> None:
    described = load_all_actions()[name]
    assert described.handler.__doc__, "the contract of a handler is its docstring"
    # Without one of its own, a dataclass gets its signature as a docstring.
    assert not (described.request_type.__doc__ or "").startswith(described.request_type.__name__ + "(")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def field_values(field: RequestField) -> st.SearchStrategy[Any]:
    """Values that a field may have; bytes of names that are not UTF-8 arrive as surrogates."""
    # An empty text that is left out comes back as None, which means the same.
    texts = st.text(st.characters(), min_size=int(field.argument.is_omitted_when_empty), max_size=30)
    values: Mapping[object, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(-(10**9), 10**9),
        bool: st.just(True) if field.argument.is_omitted_when_empty else st.booleans(),
        date: st.dates(date(2000, 1, 1), date(9000, 12, 31)),
        tuple: st.lists(st.text(max_size=10), min_size=int(field.argument.is_omitted_when_empty), max_size=3).map(
            tuple
        ),
        Mapping: st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    }
    return values[field.value_type] | st.none() if field.is_optional else values[field.value_type]


@pytest.mark.parametrize("name", ACTIONS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_request_crosses_the_socket_unchanged(name: str, data: st.DataObject) -> None:
    request_type = load_all_actions()[name].request_type
    request = request_type(**{f.attribute_name: data.draw(field_values(f)) for f in request_fields(request_type)})
    assert find_action(request).name == name
    message = protocol.encode_message({"action": name, "arguments": encode_request(request)})
    position = 0

    def read(count: int) -> bytes:
        nonlocal position
        position += count
        return message[position - count : position]

    received = protocol.read_message(read)
    assert decode_action_request(received["action"], received["arguments"]) == request


def test_a_reason_is_left_out_when_there_is_none() -> None:
    """A daemon of the first release refuses an argument that it does not know."""
    submit = load_all_actions()["submit"].request_type
    for reason in (None, ""):
        request = submit(submission_name="f/s", submitted_on=date(2026, 1, 1), exception_reason=reason)  # type: ignore[call-arg]
        assert "reason" not in encode_request(request)


def test_a_note_about_no_filing_names_none_and_one_of_the_first_release_is_taken() -> None:
    arguments = {"what": "protect", "about": "content", "details": {}}
    note = decode_action_request("note", arguments)
    assert encode_request(note) == arguments


def good_arguments(name: str) -> dict[str, Any]:
    samples: Mapping[object, Any] = {str: "x", int: 1, bool: True, date: "2026-01-01", tuple: [], Mapping: {}}
    return {
        f.argument.wire_name: samples[f.value_type] for f in request_fields(load_all_actions()[name].request_type)
    }


@pytest.mark.parametrize("name", ACTIONS)
def test_an_argument_that_is_unknown_missing_or_of_the_wrong_kind_is_named(name: str) -> None:
    arguments = good_arguments(name)
    decode_action_request(name, arguments)
    with pytest.raises(UsageError, match="the argument made_tomorrow is unknown"):
        decode_action_request(name, {**arguments, "made_tomorrow": None})
    for field in request_fields(load_all_actions()[name].request_type):
        key = field.argument.wire_name
        with pytest.raises(UsageError, match=f"{name}: the argument {key} is unknown"):
            # A set never comes out of JSON, so no argument is one.
            decode_action_request(name, {**arguments, key: {1}})
        without = {other: value for other, value in arguments.items() if other != key}
        if not field.is_optional:
            with pytest.raises(UsageError, match=f"{name}: the argument {key} is unknown, missing"):
                decode_action_request(name, without)
        elif not field.argument.is_omitted_when_empty:
            assert getattr(decode_action_request(name, without), field.attribute_name) is None
        if field.value_type is date:
            with pytest.raises(UsageError, match="soon is not a valid date"):
                decode_action_request(name, {**arguments, key: "soon"})


def test_an_action_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="The action made-up does not exist"):
        decode_action_request("made-up", {})


def test_typed_texts_are_normalized_and_names_are_not() -> None:
    request = decode_action_request(
        "hold-place", {"name": "a\tb", "target": "f\tg", "reason": "1\r\n2", "by": None}
    )
    normalized = encode_request(normalize_texts(request))
    assert normalized == {"name": "a b", "target": "f\tg", "reason": "1\n2", "by": None}
    with pytest.raises(UsageError, match=r"reason: .* control character"):
        normalize_texts(
            decode_action_request("hold-place", {"name": "a", "target": "f", "reason": "\x1b", "by": None})
        )
    with pytest.raises(UsageError, match=r"^target .* more than 4,000 characters"):
        normalize_texts(
            decode_action_request("hold-place", {"name": "a", "target": "f" * 4001, "reason": "r", "by": None})
        )


def performed_requests() -> Iterator[tuple[str, str]]:
    """Each (module of the command line, request class) of a ``session.perform(...)``."""
    for path in sorted((CHECKOUT / "archiver/cli").glob("*.py")):
        for node in nodes_of_module(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "session.perform":
                # Built where it is performed, so that a reader and this test see what is asked for.
                assert isinstance(node.args[0], ast.Call), f"{path.name}: {ast.unparse(node)}"
                yield path.stem, ast.unparse(node.args[0].func)


def test_every_action_is_reached_from_a_command_and_commands_reach_nothing_else() -> None:
    performed = set(performed_requests())
    assert {request for _, request in performed} == {
        each.request_type.__name__ for each in load_all_actions().values()
    }
    assert {module for module, _ in performed} <= {name.replace("-", "_") for name in COMMANDS}
    assert ("hold", "PlaceHold") in performed


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test register actions that nobody else sees."""
    for name in ("_ACTIONS_BY_NAME", "_ACTIONS_BY_REQUEST"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    # Modules are searched once in a process; here once more, and again by whoever comes next.
    registry._import_modules.cache_clear()
    yield
    registry._import_modules.cache_clear()


MADE_TOMORROW = """
from dataclasses import dataclass
from typing import Annotated, Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request


@dataclass(frozen=True)
class MakeTomorrow(Request):
    word: Annotated[str, Argument("w")]


@action("made-tomorrow")
def make_tomorrow(context: ActionContext, request: MakeTomorrow) -> dict[str, Any]:
    return {}
"""


@pytest.mark.usefixtures("own_registry")
def test_an_action_made_tomorrow_needs_no_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tomorrow_actions.py").write_text(MADE_TOMORROW, "utf-8")
    monkeypatch.setattr(actions, "__path__", [*actions.__path__, str(tmp_path)])
    try:
        request = decode_action_request("made-tomorrow", {"w": "x"})
        assert (type(request).__name__, encode_request(request)) == ("MakeTomorrow", {"w": "x"})
    finally:
        sys.modules.pop("archiver.actions.tomorrow_actions", None)


@dataclass(frozen=True)
class NoWireName(Request):
    word: str


@dataclass(frozen=True)
class SameWireName(Request):
    word: Annotated[str, Argument("w")]
    other: Annotated[str, Argument("w")]


@dataclass(frozen=True)
class NoWireType(Request):
    word: Annotated[bytes, Argument("w")]


@dataclass
class NotFrozen(Request):
    word: Annotated[str, Argument("w")]


@pytest.mark.parametrize(
    "request_type", [NoWireName, SameWireName, NoWireType, NotFrozen], ids=lambda t: t.__name__
)
def test_a_request_that_cannot_cross_the_socket_is_refused_at_import(request_type: type[Request]) -> None:
    with pytest.raises(TypeError):
        request_fields(request_type)


@pytest.mark.usefixtures("own_registry")
def test_a_name_belongs_to_one_action() -> None:
    place_hold = load_all_actions()["hold-place"].handler
    with pytest.raises(TypeError, match="belongs to another action"):
        action("hold-place")(place_hold)
