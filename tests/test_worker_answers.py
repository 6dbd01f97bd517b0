"""What children answer is decoded strictly: an answer of another form is refused, and never an error far from there.

:class:`archiver.workers.Worker` makes a WorkerFailed of the four errors that a decoder may raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.audit import copy_worker
from archiver.audit.copy_worker import CopiedFile, CopyFailure
from archiver.documents.document import Document
from archiver.errors import StorageError
from archiver.intake import staging_worker
from archiver.intake.folder import entries
from archiver.intake.snapshot import SkippedPath
from archiver.intake.staging import StagingResult
from archiver.store.content.source import StatData
from archiver.store.content.spool import StagedCopy

REFUSED = (TypeError, ValueError, LookupError, AttributeError)
#: Words of our own answers, so that what is made up comes close to them.
WORDS = [
    "template",
    "fields",
    "name",
    "staged",
    "unstable",
    "held",
    "unreadable",
    "ok",
    "error",
    "own",
    "lines",
    "kind",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)


def through_access(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: entries.decode_outcome(decode, ["ok", value])


DECODERS: list[Callable[[Any], Any]] = [
    staging_worker._decode_outcome,
    copy_worker.decode_outcome,
    Document.from_json,
    lambda value: entries.decode_outcome(entries.decode_entries, value),
    *map(
        through_access,
        (
            entries.decode_names,
            entries.decode_entry,
            entries.decode_entries,
            entries.decode_opened,
            entries.decode_root,
        ),
    ),
]


@given(VALUES)
def test_whatever_comes_is_decoded_or_refused(value: object) -> None:
    for decode in DECODERS:
        try:
            decode(value)
        except REFUSED:
            continue


def sent(value: object) -> Any:
    return json.loads(json.dumps(value))


def test_what_a_staging_process_sends_comes_back() -> None:
    result = StagingResult(
        {b"\xb1\xb8/f": StagedCopy("a" * 64, StatData(1, 2, 3, 4), None, True, "cut", True)},
        [b"gone\xff"],
        [b"open\n"],
        [SkippedPath(b"bad", "cannot be read: {value}", "Permission denied")],
    )
    assert staging_worker._decode_outcome(sent(staging_worker._encode_result(result))) == result
    problem = StorageError("{path} is full ({reason}, {count})", path=b"/x\xff", reason="No space", count=3)
    decoded = staging_worker._decode_outcome(sent(staging_worker._encode_problem(problem)))
    assert isinstance(decoded, StorageError)
    assert decoded.message == problem.message


@pytest.mark.parametrize(
    "outcome",
    [CopiedFile(5, {"sha256": "ab", "sm3": "cd"}), CopyFailure(28, "No space left on device", "/x\udcff")],
)
def test_what_a_copying_process_sends_comes_back(outcome: CopiedFile | CopyFailure) -> None:
    decoded = copy_worker.decode_outcome(sent(copy_worker.encode_outcome(outcome)))
    assert decoded == outcome
    assert type(decoded) is type(outcome)
