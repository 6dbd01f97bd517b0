"""Each check of tools/prose.py finds a planted fault: one that finds nothing proves nothing."""

from __future__ import annotations

import pytest

from tests.support.messages import Message
from tools import prose


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (Message("Found {count} files."), "has no singular"),
        (Message("Restored: {bytes} bytes."), "has no singular"),
        (Message("{years} years"), "has no singular"),
        (Message("Mend the disk."), "closed_words.txt"),
        (Message("Nothing was lost."), "none of the four safety sentences"),
        (Message("To see why, run: archiver explain {tag}"), "not quoted"),
    ],
)
def test_a_fault_is_found(message: Message, fault: str) -> None:
    (found,) = prose.find_message_faults(message, prose.read_closed_words())
    assert fault in found


@pytest.mark.parametrize(
    "message",
    [
        Message("Found {count} files.", singular="Found {count} file."),
        Message("Disposed of {objects} objects, {bytes} bytes.", singular="Disposed of {objects} object."),
        Message("{identity} lacks {missing} of {needed} approvals."),
        Message("has a path of more than {value} bytes; nothing in it is archived"),
        Message("Nothing was changed. To see why, run: archiver explain {tag!q}"),
    ],
)
def test_a_good_message_has_none(message: Message) -> None:
    assert list(prose.find_message_faults(message, prose.read_closed_words())) == []
