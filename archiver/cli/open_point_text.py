"""Show the open points of a submission as text: before the signature, and in later views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.model import SubmissionRecord

#: The most lines for each code.  With more, a folder with a thousand conflict copies would hide everything else.
_MAX_LINES = 20
#: The most paths in a line.
_MAX_PATHS = 5
#: Codes of facts that often concern all files alike, so that files with the same reason share a line.
_SHARED_LINES = frozenset({"check.expected-absent", "check.changed-later", "check.newer-version"})


def describe_check(check: Mapping[str, Any], submission_name: str) -> Iterator[LazyMessage]:
    """Yield the lines about a check: the version, the kind, and the open points that refuse the signature first.

    ``check`` is the result of the action ``submission-check``, and ``submission_name`` FILING/SUBMISSION.
    """
    from archiver.filings.code_names import SUBMISSION_KIND_NAMES, name_for_code

    if check["tag"] is None:
        yield LazyMessage("Version: {choice}", choice=check["choice"])
    else:
        yield LazyMessage("Version: {tag} ({choice})", tag=check["tag"], choice=check["choice"])
    yield LazyMessage(
        "Kind: {kind} ({basis})",
        kind=name_for_code(check["kind"], SUBMISSION_KIND_NAMES),
        basis=check["kind_basis"],
    )
    points_by_line: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for point in sorted(check["open_points"], key=lambda point: not point["refuses"]):
        own_path = "" if point["code"] in _SHARED_LINES else point["path"]
        points_by_line.setdefault((point["code"], str(point["reason"]), own_path), []).append(point)
    lines_by_code = Counter(code for code, *_ in points_by_line)
    line_counts: Counter[str] = Counter()
    for (code, *_), points in points_by_line.items():
        line_counts[code] += 1
        if line_counts[code] <= _MAX_LINES:
            # Only some of very many points are listed, and they are counted by code.
            yield _describe_points(points, check["counts"][code] if lines_by_code[code] == 1 else len(points))
    for code, count in check["counts"].items():
        if line_counts[code] > _MAX_LINES:
            sentence = next(point["sentence"] for point in check["open_points"] if point["code"] == code)
            yield LazyMessage.define(
                "To check: {count} files in total: {sentence}. To list them, run: archiver check {name!q} --json",
                singular=(
                    "To check: {count} file in total: {sentence}. To list it, run: archiver check {name!q} --json"
                ),
            ).with_fields(sentence=sentence, count=count, name=submission_name)


def _describe_points(points: Sequence[Mapping[str, Any]], total_count: int) -> LazyMessage:
    """Return the line about open points with the same code and reason, of which ``total_count`` are known."""
    paths, reason = (
        _join_paths([point["path"] for point in points if point["path"]], total_count),
        points[0]["reason"],
    )
    if points[0]["refuses"]:
        return (
            LazyMessage("To fix: {path}: {reason}", path=paths, reason=reason)
            if paths
            else LazyMessage("To fix: {reason}", reason=reason)
        )
    return (
        LazyMessage("To check: {path}: {reason}", path=paths, reason=reason)
        if paths
        else LazyMessage("To check: {reason}", reason=reason)
    )


def _join_paths(paths: Sequence[str], total_count: int) -> LazyMessage | str:
    """Return the first paths as one text; the total number follows if there are more."""
    if len(paths) <= 1:
        return "".join(paths)
    first_paths = ", ".join(paths[:_MAX_PATHS])
    if len(paths) <= _MAX_PATHS:
        return first_paths
    return LazyMessage("{paths}, ... ({count} in total)", paths=first_paths, count=total_count)


def print_recorded_points(console: Console, submission_record: SubmissionRecord) -> None:
    """Print a line for each kind of open point that the journal records with a submission."""
    from archiver.filings.check.open_points import read_points

    for point in read_points(submission_record.open_points):
        if not point.paths:
            console.info("  At the signature: {sentence}", sentence=point.sentence)
            continue
        paths = _join_paths(point.paths, point.path_count)
        console.info("  At the signature: {path}: {sentence}", path=paths, sentence=point.sentence)


def recorded_points_to_dict(submission_record: SubmissionRecord) -> dict[str, Any]:
    """Return a dict with the member ``open_points`` for ``--json``; empty if the journal records none."""
    from archiver.filings.check.open_points import read_points

    points = [point.as_json() for point in read_points(submission_record.open_points)]
    return {"open_points": points} if points else {}
