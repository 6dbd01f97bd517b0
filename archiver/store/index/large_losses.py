"""Find large losses: many files of a filing were deleted in a short time, or no longer have bytes of their type.

Such a change is captured like any other, because it happened in the watched folder.  A disk that was emptied by
mistake, and a program that encrypts all files, look like this, so a person should look.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import NamedTuple

from archiver import clock
from archiver.model import Change, Op, Submission
from archiver.naming.ref_names import RefName
from archiver.store.index.queries import Index

#: The smallest number of files of a large loss. Lower, and tidying a small filing raises an alarm. Higher, and a
#: whole filing of ordinary size could vanish without one.
_MIN_FILES = 20
#: The share of the filing's files that is exceeded by a large loss.
_SHARE = 0.5
#: The longest time from the first to the last capture of a loss. Shorter, and a program that encrypts thousands of
#: files, which takes minutes, raises no alarm. Longer, and a day of ordinary work adds up to a loss.
_LONGEST_SPAN = timedelta(hours=1)
#: The codes of damage that a rewritten file has if its bytes are not of its type.
_WRONG_TYPE_CODES = frozenset({"empty", "misnamed"})


class LargeLoss(NamedTuple):
    """Files of a filing, lost within an hour and nowhere in the watched folder."""

    filing: RefName
    lost_count: int
    file_count: int  # the number of the filing's files before
    last_tag: RefName  # of the last version with a part of the loss


class _Loss(NamedTuple):
    """A version without some files of the previous version, or with bytes of another type."""

    filing: str
    submission_row: int
    version_number: int
    tag: str
    seq: int
    time: str  # of the compliance clock, which no jump of the wall clock changes
    lost_count: int


def count_lost_files(database: sqlite3.Connection, submission_row: int, changes: Iterable[Change]) -> int:
    """Return the number of files that ``changes`` delete, or rewrite with bytes of another type.

    Call this before the changes are applied to the table ``materials``.
    """
    lost_count = 0
    for change in changes:
        if change.op is Op.DELETE and change.sha256:
            lost_count += 1
        elif change.op is Op.MODIFY and change.health in _WRONG_TYPE_CODES:
            former_health = database.execute(
                "select health from materials where submission = ? and path = ? and until is null",
                (submission_row, change.path),
            ).fetchone()
            lost_count += former_health is not None and former_health[0] not in _WRONG_TYPE_CODES
    return lost_count


def find_large_losses(index: Index) -> list[LargeLoss]:
    """Return the large losses since a person accepted the watched folder last, at most one for each filing.

    Losses of the time before the journal identified the folder are left out, and files that are somewhere in the
    watched folder now: they were moved, or have returned.
    """
    watched_folder = index.watched_folder
    if not watched_folder.first_seq:
        return []
    rows = index.query(
        "select s.filing, v.submission, v.number, v.tag, l.seq, l.clock, l.lost from losses l "
        "join versions v on v.seq = l.seq join submissions s on s.id = v.submission where l.seq > ? "
        "order by s.filing, l.seq",
        (max(watched_folder.first_seq, watched_folder.accepted_seq),),
    )
    large_losses = []
    for filing, losses in groupby((_Loss(*row) for row in rows), key=lambda loss: loss.filing):
        large_losses += list(_find_last_large_loss(index, RefName(filing), list(losses)))
    return large_losses


def _find_last_large_loss(index: Index, filing: RefName, losses: Sequence[_Loss]) -> Iterator[LargeLoss]:
    """Yield the newest large loss among the losses of a filing, which are sorted by the number of the event."""
    times = [clock.parse_time(loss.time) for loss in losses]
    # Both ends of the span only move backwards, because the compliance clock does not.
    first_position = len(losses)
    for last_position in range(len(losses) - 1, -1, -1):
        last_loss = losses[last_position]
        first_position = min(first_position, last_position)
        while first_position and times[first_position - 1] >= times[last_position] - _LONGEST_SPAN:
            first_position -= 1
        span = losses[first_position : last_position + 1]
        if sum(loss.lost_count for loss in span) < _MIN_FILES:
            continue
        file_count = _count_files_before(index, filing, span[0].seq)
        lost_count = sum(_count_missing(index, loss) for loss in span)
        if lost_count >= _MIN_FILES and lost_count > _SHARE * file_count:
            yield LargeLoss(filing, lost_count, file_count, RefName(last_loss.tag))
            return


def _count_files_before(index: Index, filing: RefName, seq: int) -> int:
    """Return the number of files in the folder of ``filing`` before the event ``seq``."""
    rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, v.files, max(v.number) from versions v "
        "join submissions s on s.id = v.submission where s.filing = ? and v.seq < ? group by s.id order by s.name",
        (filing, seq),
    )
    counts: dict[str, int] = {}
    for *submission_columns, file_count, _ in rows:
        submission = Submission(*submission_columns)
        # Numbered submissions share one folder, which the newest describes.
        counts["" if submission.number is not None else submission.name] = file_count
    return sum(counts.values())


def _count_missing(index: Index, loss: _Loss) -> int:
    """Return the number of files lost in a version whose content no newest version has now."""
    rows = index.query(
        "select count(*) from materials m left join materials r "
        "on r.submission = m.submission and r.path = m.path and r.first = m.until "
        "where m.submission = ? and m.until = ? and m.size > 0 and (r.path is null or (r.health in (?, ?) "
        "and m.health not in (?, ?))) "
        "and not exists (select 1 from materials n where n.sha256 = m.sha256 and n.until is null)",
        (loss.submission_row, loss.version_number, *sorted(_WRONG_TYPE_CODES) * 2),
    )
    [(missing_count,)] = rows
    return int(missing_count)
