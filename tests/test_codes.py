"""Codes are for programs: each has one meaning, and none follows a Python name that is changed one day."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archiver import errors
from archiver.actions import protocol
from archiver.daemon.failures import read_last_problem
from archiver.daemon.watch_state import watch_reason_message
from archiver.documents.document import ENCRYPTED, Document
from archiver.errors import ArchiverError, LazyMessage, StorageError
from archiver.intake import path_reasons
from archiver.intake.snapshot import SkippedPath, Snapshot
from archiver.replica.bucket import BucketProblem
from archiver.verify.findings import Finding
from tests.support.codes_page import PAGE, render
from tests.support.messages import IMPLEMENTATION, ROOT, error_classes, read_package, sources


def test_each_error_class_has_a_code_of_its_own() -> None:
    """A class that only inherits one is counted as another trouble by metrics and logs."""
    assert [each.__name__ for each in error_classes() if "code" not in vars(each)] == []
    assert [code for code, times in Counter(each.code for each in error_classes()).items() if times > 1] == []


def test_the_codes_that_metrics_and_logs_carry_stay() -> None:
    assert {each.code: each.exit_code for each in error_classes()} == {
        "archivererror": 1,
        "usage": 2,
        "config": 3,
        "retentionrefused": 4,
        "submissionrefused": 4,
        "filerestricted": 4,
        "findingspresent": 5,
        "busy": 6,
        "notfound": 7,
        "storage": 8,
        "journaldamaged": 8,
        "limit": 8,
        "bucket": 8,
        "secondwriter": 8,
        "unhealthy": 9,
        "notarchived": 9,
        "demofailed": 1,
    }


def test_the_names_on_the_socket_stay() -> None:
    """Command and daemon may be of different releases, so that these outlive the names of classes."""
    assert {name: error.exit_code for name, error in errors.ERROR_CLASS_BY_WIRE_NAME.items()} == {
        "ArchiverError": 1,
        "UsageProblem": 2,
        "ConfigProblem": 3,
        "RetentionRefused": 4,
        "SubmissionRefused": 4,
        "FileRestricted": 4,
        "FindingsPresent": 5,
        "Busy": 6,
        "NotFound": 7,
        "StorageProblem": 8,
        "JournalDamaged": 8,
        "LimitReached": 8,
        "Unhealthy": 9,
        "NotArchived": 9,
    }


def across(error: ArchiverError) -> ArchiverError:
    """An error as the other side of the socket raises it."""
    return protocol.decode_error(
        json.loads(json.dumps(protocol.encode_error(error), default=protocol.encode_value))
    )


@pytest.mark.parametrize("error_class", error_classes(), ids=lambda each: each.__name__)
def test_every_error_crosses_the_socket(error_class: type[ArchiverError]) -> None:
    """One that the other side has no name for arrived as "the daemon gave no answer"."""
    arrived = across(error_class("{path} is full", path="/srv"))
    assert isinstance(arrived, ArchiverError)
    assert (str(arrived), arrived.exit_code) == ("/srv is full", error_class.exit_code)


def test_a_class_of_another_module_crosses_as_the_one_above_it() -> None:
    assert type(across(BucketProblem("it cannot be reached"))) is StorageError


def test_code_and_number_cross_the_socket() -> None:
    message = LazyMessage.define("{count} paths", code="test.paths", singular="{count} path").with_fields(count=1)
    arrived = across(StorageError("{reason}!", reason=message)).message.fields["reason"]
    assert isinstance(arrived, LazyMessage)
    assert (str(arrived), arrived.code) == ("1 path", "test.paths")


def test_a_message_of_a_newer_release_is_still_readable() -> None:
    """Attributes that this release does not know are left out."""
    message = {"phrase": "{count} paths", "phrase-attributes": {"code": "a", "gender": "f"}, "count": 3}
    revived = protocol.decode_value(message)
    assert (str(revived), revived.code) == ("3 paths", "a")


# --- messages with a code


def test_a_code_has_one_meaning() -> None:
    codes = Counter(message.code for message in read_package().messages if message.code)
    assert [code for code, times in codes.items() if times > 1] == []
    assert [code for code in codes if not re.fullmatch(r"[a-z]+\.[a-z0-9-]+", code)] == []


def test_the_page_of_codes_is_that_of_the_code() -> None:
    """A code that is gone or has another sentence is seen here, and in the review of docs/codes.md."""
    assert PAGE.read_text(encoding="utf-8") == render(), "python -m tests.support.codes_page"


#: Where a sentence is looked up on purpose: what an earlier release stored.
FORMER = "_FORMER_SENTENCES"


def compared_texts(tree: ast.AST, sentences: set[str], constants: set[str]) -> Iterator[str]:
    """Comparisons with a sentence: with the text itself, a message that is a constant, or a ``template``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            operands += [each for operand in operands for each in getattr(operand, "elts", ())]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_asked = node.func.attr in (
                "startswith",
                "endswith",
                "partition",
                "rpartition",
                "find",
                "index",
                "count",
            )
            operands = [node.func.value, *node.args] if is_asked else []
        elif isinstance(node, ast.MatchValue):
            operands = [node.value]
        else:
            continue
        for operand in operands:
            is_sentence = isinstance(operand, ast.Constant) and operand.value in sentences
            is_message = isinstance(operand, ast.Name | ast.Attribute) and (
                ast.unparse(operand).rpartition(".")[2] in constants | {"template"}
            )
            if is_sentence or is_message:
                yield ast.unparse(node)


def sentences_and_constants() -> tuple[set[str], set[str]]:
    source = read_package()
    # One word may be a code as well, such as the kind of a notice.
    sentences = {form for message in source.messages for form in message.forms if " " in form or "{" in form}
    return sentences, source.constants


def test_no_logic_compares_sentences() -> None:
    """Else nobody could reword a message, and nothing would say so."""
    known = sentences_and_constants()
    found = {
        f"{path.relative_to(ROOT)}: {text}"
        for path, tree in sources().items()
        if path != IMPLEMENTATION
        for text in compared_texts(tree, *known)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("line", "is_text"),
    [
        ('if reason == "the watched folder is missing": pass', True),
        ('if item.reason.template == "x": pass', True),
        ("if item.reason == FAILED: pass", True),
        ("if reason in (path_reasons.FAILED, OWN): pass", True),
        ('if str(problem).startswith("the watched folder is missing"): pass', True),
        ("if item.code == FAILED.code: pass", False),
        ('if kind == "change": pass', False),
    ],
)
def test_a_comparison_with_a_sentence_is_found(line: str, is_text: bool) -> None:
    assert bool(list(compared_texts(ast.parse(line), *sentences_and_constants()))) == is_text


def test_former_sentences_lead_to_codes_of_today() -> None:
    codes = {message.code for message in read_package().messages}
    tables = [
        ast.literal_eval(node.value)
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == FORMER
    ]
    assert len(tables) == 3
    assert {code for table in tables for code in table.values()} <= codes


# --- what an earlier release stored


@pytest.mark.parametrize(("sentence", "code"), [*path_reasons._FORMER_SENTENCES.items()])
def test_a_stored_sentence_is_read_as_its_code(tmp_path: Path, sentence: str, code: str) -> None:
    snapshot = Snapshot(tmp_path / "state.db")
    snapshot.note_unreadable([SkippedPath(b"a", sentence, "7")])
    snapshot.replace_pending_entries([(SkippedPath(b"b", sentence, "7"), "2026-01-01T00:00:00Z")])
    (skipped,), ((pending, _),) = snapshot.skipped(), snapshot.pending_entries()
    snapshot.close()
    assert (skipped.code, pending.code) == (code, code)
    shown = str(path_reasons.REASONS[code].with_fields(value="7"))
    assert str(skipped.reason) == str(pending.reason) == shown
    assert ("7" in shown) == ("{value}" in sentence)


def test_a_code_of_a_newer_release_is_shown_as_it_is(tmp_path: Path) -> None:
    assert str(SkippedPath(b"a", "path.enchanted", "7").reason) == "path.enchanted: 7"
    assert str(watch_reason_message("watch.enchanted", "7")) == "watch.enchanted: 7"


def test_what_an_earlier_release_left_of_the_watch_is_read() -> None:
    reason = watch_reason_message("{value} gives no events", "nfs")
    assert (reason.code, str(reason)) == ("watch.no-events", "nfs delivers no kernel notifications")


def test_what_an_earlier_release_left_of_the_last_problem_is_read(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path / "state.db")
    fields: dict[str, Any] = {"path": "/a", "why": {"phrase": "{n} bytes", "n": 0}}
    word = {"at": "2026-01-01T00:00:00Z", "template": "{path} is full: {why}", "fields": fields}
    snapshot.set_meta("last_problem", json.dumps(word))
    last = read_last_problem(snapshot)
    snapshot.close()
    assert last is not None
    assert (last.code, str(last.message)) == ("", "/a is full: 0 bytes")


def test_a_document_in_the_cache_of_an_earlier_release_is_read() -> None:
    document = Document.from_json({"kind": "pdf", "lines": [], "problem": "it is encrypted"})
    assert (document.problem, str(document.problem_message)) == (ENCRYPTED, "it is encrypted")


def test_a_finding_says_by_name_what_was_seen() -> None:
    detail = LazyMessage("{size} bytes instead of {expected}", size=3, expected=4)
    assert Finding("A051", "ab", detail).as_json() == {
        "code": "A051",
        "object": "ab",
        "message": "an object differs from what was archived: 3 bytes instead of 4",
        "parameters": {"size": 3, "expected": 4},
    }
    assert Finding("A050", "ab").as_json()["parameters"] == {}
