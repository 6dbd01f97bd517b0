"""Codes are for programs: each has one meaning, and none follows a Python name that is changed one day."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from archiver import errors
from archiver.actions import protocol
from archiver.errors import ArchiverError, Phrase, StorageProblem
from archiver.replica.bucket import BucketProblem
from tests.messages import error_classes


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
        "findingspresent": 5,
        "busy": 6,
        "notfound": 7,
        "storage": 8,
        "journaldamaged": 8,
        "bucket": 8,
        "secondwriter": 8,
        "unhealthy": 9,
        "notarchived": 9,
        "demofailed": 1,
    }


def test_the_names_on_the_socket_stay() -> None:
    """Command and daemon may be of different releases, so that these outlive the names of classes."""
    assert {name: error.exit_code for name, error in errors.BY_WIRE_NAME.items()} == {
        "ArchiverError": 1,
        "UsageProblem": 2,
        "ConfigProblem": 3,
        "RetentionRefused": 4,
        "SubmissionRefused": 4,
        "FindingsPresent": 5,
        "Busy": 6,
        "NotFound": 7,
        "StorageProblem": 8,
        "JournalDamaged": 8,
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
    assert type(across(BucketProblem("it cannot be reached"))) is StorageProblem


def test_code_and_number_cross_the_socket() -> None:
    message = Phrase.define("{count} paths", code="test.paths", singular="{count} path").with_fields(count=1)
    arrived = across(StorageProblem("{reason}!", reason=message)).message.fields["reason"]
    assert isinstance(arrived, Phrase)
    assert (str(arrived), arrived.code) == ("1 path", "test.paths")


def test_a_message_of_a_newer_release_is_still_readable() -> None:
    """Attributes that this release does not know are left out."""
    message = {"phrase": "{count} paths", "phrase-attributes": {"code": "a", "gender": "f"}, "count": 3}
    revived = protocol.decode_value(message)
    assert (str(revived), revived.code) == ("3 paths", "a")
