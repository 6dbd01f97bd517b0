"""The journal's vocabulary has one home: a class for every kind of event, and its words nowhere else."""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
import zipfile
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.corrections import RecordCorrected
from archiver.store.events.event_details import EventDetails, MemberRule
from archiver.store.events.event_kinds import ACTIONS, UNREADABLE, Action
from archiver.store.events.filing_events import FilingUpdated
from archiver.store.events.validation import check_new_details
from archiver.store.events.vocabulary import DETAILS_BY_ACTION
from tests.support import journal_page
from tests.support.site import CHECKOUT
from tests.support.syntax_trees import nodes_of_module, parse_module

EVENTS = CHECKOUT / "archiver/store/events"
CLASSES = list(DETAILS_BY_ACTION.values())
#: Modules whose words are those of commands and requests, some of which are called like an action, and the
#: verifier, which goes into packages and has to stand alone.
_OWN_WORDS = ("archiver/cli/", "archiver/actions/", "archiver/audit/resources/verify.py")
#: Other words that are spelled like an action, and what each of them is.
_OTHER_MEANINGS = {
    ("archiver/audit/filing_timeline.py", "hold"): "a kind of mark on the timeline",
    ("archiver/audit/filing_timeline.py", "notice"): "a kind of mark on the timeline",
    ("archiver/audit/timeline.py", "hold"): "a kind of mark on the timeline",
    ("archiver/config/settings.py", "timestamp"): "a table of the configuration",
    ("archiver/daemon/capture_loop.py", "checkpoint"): "a side task of the daemon",
    ("archiver/daemon/jobs.py", "drill"): "a side task of the daemon",
    ("archiver/daemon/jobs.py", "timestamp"): "a side task of the daemon",
    ("archiver/filings/code_names.py", "notice"): "a role of a file about a submission",
    ("archiver/filings/code_names.py", "policy"): "the basis of a deadline",
    ("archiver/filings/due/deadlines.py", "notice"): "a rule of deadlines",
    ("archiver/filings/due/rules.py", "notice"): "a rule of deadlines",
    ("archiver/filings/due/rules.py", "policy"): "the basis of a rule",
    ("archiver/filings/submission_kinds.py", "notice"): "a role of a file about a submission",
    ("archiver/replica/existing_objects.py", "format"): "a member of a JSON document",
    ("archiver/restore/drill.py", "restore"): "what a drill is about",
    ("archiver/status/health_report.py", "format"): "a key of status --json",
    ("archiver/store/git/repository.py", "init"): "a command of git",
    ("archiver/store/index/apply.py", "checkpoint"): "a key of the index",
    ("archiver/store/index/apply.py", "drill"): "a key of the index",
    ("archiver/store/index/apply.py", "format"): "a key of the index",
    ("archiver/store/index/queries.py", "checkpoint"): "a key of the index",
    ("archiver/store/index/queries.py", "drill"): "a key of the index",
    ("archiver/store/index/queries.py", "format"): "a key of the index",
    ("archiver/verify/chain_replay.py", "format"): "a member of a signed head",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module outside of the vocabulary, with its path from the checkout."""
    for path in sorted((CHECKOUT / "archiver").rglob("*.py")):
        if EVENTS not in path.parents:
            yield path.relative_to(CHECKOUT).as_posix(), parse_module(path)


def words(tree: ast.AST) -> set[str]:
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_no_action_is_a_bare_string_outside_of_the_vocabulary() -> None:
    found = {
        (name, word)
        for name, tree in modules()
        if not name.startswith(_OWN_WORDS)
        for word in words(tree) & ACTIONS
    }
    assert found - _OTHER_MEANINGS.keys() == set(), "say Action.NAME"
    assert _OTHER_MEANINGS.keys() - found == set(), "these lines have to go from this test"


def test_commands_compare_no_action_with_a_bare_string() -> None:
    """Their own words may be spelled like an action; what is compared with an event may not."""
    found = [
        f"{name}: {ast.unparse(node)}"
        for name, tree in modules()
        if name.startswith(("archiver/cli/", "archiver/actions/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith((".action", "['action']"))
        if set().union(*map(words, node.comparators)) & ACTIONS
    ]
    assert found == []


def is_details(node: ast.expr) -> bool:
    """Tell whether an expression is the details of an event, by its name."""
    return ast.unparse(node).endswith(("details", "['details']"))


def picked(tree: ast.Module) -> Iterator[str]:
    """Every expression that takes one member from the details of an event by its name."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str())) if is_details(value):
                yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(value=value, attr="get" | "pop"), args=[name, *_]) if is_details(
                value
            ):
                # The member that names an event's filing has its name from the vocabulary.
                if ast.unparse(name) != "FILING_MEMBER":
                    yield ast.unparse(node)


def test_no_member_of_details_is_named_outside_of_the_vocabulary() -> None:
    found = {
        name: expressions
        for name, tree in modules()
        if name != "archiver/audit/resources/verify.py" and (expressions := sorted(picked(tree)))
    }
    assert found == {}, "read the event with from_details"


def test_every_draft_is_made_of_a_class_of_the_vocabulary() -> None:
    """A dict in its place would only be refused when it is written."""
    drafts = [
        (name, node)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Draft"
    ]
    assert len(drafts) > 25
    assert [name for name, node in drafts if isinstance(node.args[1], ast.Dict)] == []


def test_every_action_has_a_class() -> None:
    assert list(DETAILS_BY_ACTION) == [details_class.action for details_class in CLASSES]
    assert DETAILS_BY_ACTION.keys() == set(Action) == ACTIONS
    assert UNREADABLE not in ACTIONS


def test_the_vocabulary_reads_and_writes_no_file() -> None:
    """verify imports it, so nothing that writes may hide behind it."""
    allowed = {
        "archiver",
        "archiver.clock",
        "archiver.errors",
        "archiver.model",
        "archiver.naming.ref_names",
        "archiver.store.names",
    }
    for path in EVENTS.glob("*.py"):
        for node in nodes_of_module(path):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if names == ["archiver.store"]:
                names = [f"archiver.store.{alias.name}" for alias in node.names]
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                is_ours = name in allowed or name.startswith("archiver.store.events")
                assert is_ours or name.partition(".")[0] in sys.stdlib_module_names, (path.name, name)


def test_the_page_of_the_journal_is_made_of_the_classes() -> None:
    assert journal_page.PAGE.read_text("utf-8") == journal_page.render(), "python -m tests.support.journal_page"


def test_every_member_and_file_says_what_it_means() -> None:
    for details_class in CLASSES:
        assert (details_class.__doc__ or "").startswith("Written "), details_class
        assert details_class.object_meaning
        for rule in details_class.member_rules().values():
            assert rule.meaning
            assert not rule.meaning.endswith(".")


# --- there and back

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
DAYS = st.dates(max_value=date(9000, 12, 31))
DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "any value": st.booleans(),
    "text": TEXT,
    "list of texts": st.lists(TEXT, max_size=3).map(tuple),
    "true or false": st.booleans(),
    "integer": INTEGERS,
    "object": st.dictionaries(TEXT, st.none() | TEXT, max_size=3),
    "list of objects": st.lists(st.dictionaries(TEXT, st.none() | TEXT, max_size=3), max_size=3).map(tuple),
    "day (YYYY-MM-DD)": DAYS,
    "time (RFC 3339)": st.just("2026-01-01T00:00:00.000000Z"),
    "integer from 0 to 100,000": st.integers(0, 100_000),
    "time zone (IANA)": st.sampled_from(["", "UTC", "Asia/Shanghai"]),
    "object of integers": st.dictionaries(TEXT, INTEGERS, max_size=3),
    "s3://BUCKET/PREFIX": st.just("s3://a-bucket/prefix"),
    "URL": st.sampled_from(["", "https://s3.example:9000"]),
    "object of texts and lists of texts": st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=3), max_size=3),
    "digest": DIGESTS,
    "list of objects with path, digest and role": st.lists(
        st.fixed_dictionaries({"path": TEXT, "digest": DIGESTS, "role": TEXT}), max_size=3
    ).map(tuple),
    "list of objects with uid and step": st.lists(
        st.fixed_dictionaries({"uid": TEXT, "step": TEXT}), max_size=3
    ).map(tuple),
}


def values_of(rule: MemberRule) -> st.SearchStrategy[Any]:
    label = rule.kind.label.removesuffix(" or null")
    may_be_none = rule.is_optional or label != rule.kind.label
    return STRATEGIES[label] | st.none() if may_be_none else STRATEGIES[label]


#: Corrections that their grammar allows: kind of the corrected event, new values, whether it is void.
CORRECTIONS: list[tuple[str, dict[str, Any], bool]] = [
    ("notice", {"received": "2026-01-01", "due": None, "days": 5}, False),
    ("filing-set", {"fields.company": "星河", "fields.products": ["甲"], "status": "filed"}, False),
    ("change-decision", {"material": True}, False),
    ("filing-end", {}, True),
]


def corrections() -> st.SearchStrategy[EventDetails]:
    return st.builds(
        lambda correction, **others: RecordCorrected(
            corrected_action=correction[0], new_values=correction[1], is_void=correction[2], **others
        ),
        st.sampled_from(CORRECTIONS),
        corrected_seq=st.integers(1, 10**12 - 1),
        reason=TEXT,
        reported_by=st.none() | TEXT,
    )


def events(details_class: type[EventDetails]) -> st.SearchStrategy[EventDetails]:
    if details_class is RecordCorrected:
        return corrections()
    rules = details_class.member_rules().values()
    attributes = [field.name for field in dataclasses.fields(details_class)]
    given_values = {name: values_of(rule) for name, rule in zip(attributes, rules, strict=True)}
    return st.builds(details_class, **given_values)


@pytest.mark.parametrize("details_class", CLASSES, ids=lambda details_class: details_class.__name__)
def test_what_is_written_is_read_back(details_class: type[EventDetails]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(events(details_class))
    def check(event: EventDetails) -> None:
        if isinstance(event, FilingUpdated) and event.status is None:
            # The portal's words are about a status, and not written without one.
            event = dataclasses.replace(event, portal_text=None)
        details = event.to_details()
        check_new_details(details)
        back = details_class.from_details(json.loads(encode_canonical(details)))
        assert back == event
        assert back.to_details() == details

    check()


@pytest.mark.parametrize("details_class", CLASSES, ids=lambda details_class: details_class.__name__)
def test_only_checked_members_are_asked_for(details_class: type[EventDetails]) -> None:
    """Whatever else an older, newer or forged event has or lacks."""
    anything = st.none() | st.booleans() | INTEGERS | TEXT | st.lists(TEXT) | st.dictionaries(TEXT, TEXT)
    rules = details_class.member_rules()
    free = [name for name, rule in rules.items() if not rule.is_checked]

    @settings(max_examples=25, deadline=None)
    @given(events(details_class), st.dictionaries(st.sampled_from([*free, "of a newer release"]), anything))
    def check(event: EventDetails, other: dict[str, Any]) -> None:
        details = {name: value for name, value in event.to_details().items() if name not in free} | other
        details_class.from_details(details)
        for name, rule in rules.items():
            if rule.is_checked and not rule.is_optional:
                with pytest.raises(ValueError, match=f"{name} is missing or of another kind"):
                    details_class.from_details({key: value for key, value in details.items() if key != name})

    check()


def test_an_attachment_that_is_relied_on_has_to_be_there() -> None:
    for action, name in (
        ("init", "allowed_signers"),
        ("key-rotate", "allowed_signers"),
        ("dispose-plan", "plan.json"),
    ):
        with pytest.raises(ValueError, match=f"{name} is not attached"):
            DETAILS_BY_ACTION[action].check_attachments(["another"])
        DETAILS_BY_ACTION[action].check_attachments([name])


def test_every_event_of_an_earlier_release_is_written_back_equal() -> None:
    """Optional members that it lacks stay absent."""
    with zipfile.ZipFile(CHECKOUT / "tests/golden/package.zip") as package:
        [name] = [name for name in package.namelist() if name.endswith("data/journal.jsonl")]
        journal = [json.loads(line) for line in package.read(name).splitlines()]
    assert len(journal) > 80
    for event in journal:
        assert DETAILS_BY_ACTION[event["action"]].from_details(event["details"]).to_details() == event["details"]
