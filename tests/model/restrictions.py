"""What restrictions of files must do, and what the program says of restricted files."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from archiver.store.archive import Archive
from archiver.store.index.restrictions import list_restrictions, restricted_content, restricted_files
from archiver.store.names import name_as_text
from tests.model.commands import read_json
from tests.model.expectations import Batch, Expectation, ExpectedEvent
from tests.model.reference import ReferenceState, ReferenceVersion
from tests.model.reference_records import Place
from tests.model.restricted_places import (
    OWNER_ONLY,
    SHARED,
    closed_content,
    open_places,
    place_in,
    restricted_paths,
)
from tests.model.world import World


class NamedFile(NamedTuple):
    """A file as a person names it."""

    tag: str
    path: str

    def __str__(self) -> str:
        return f"{self.tag}:{self.path}"


# --- what must happen


def expect_restriction(world: World, files: Iterable[NamedFile], *, ends: bool) -> Expectation:
    """Expect an event for each place, or none for all if one of them cannot be restricted, or ended."""
    state, chosen = world.state, dict[Place, ReferenceVersion]()
    for tag, path in files:
        version = state.versions.get(tag)
        place = None if version is None else place_in(version, path)
        if version is None or place is None:
            return Expectation(error="NotFoundError")
        # A place that is named twice counts for the version that is named last, at its first position.
        chosen[place] = version
    has_nothing = any(version.disposed or not version.files[place.path][1] for place, version in chosen.items())
    if not ends and (has_nothing or chosen.keys() & state.restrictions.keys()):
        return Expectation(error="UsageError")
    if ends and chosen.keys() - state.restrictions.keys():
        return Expectation(error="NotFoundError")
    events = [
        ExpectedEvent(
            "unrestrict" if ends else "restrict",
            version.tag,
            place.filing,
            {"path": place.path, "digest": f"sha256:{place.digest}"},
        )
        for place, version in chosen.items()
    ]
    return Expectation([Batch(events)])


def check_described(state: ReferenceState, description: dict[str, Any]) -> None:
    """Compare what ``restrict`` says of a file that it has restricted."""
    place = Place(description["filing"], description["path"], description["sha256"])
    versions = [version for version in state.versions.values() if not version.disposed]
    covered = {version.tag for version in versions if place_in(version, place.path) == place}
    disposed = {version.tag for version in state.versions.values() if version.disposed}
    assert set(description["versions"]) - disposed == covered, description
    elsewhere = {item["path"] for item in description["elsewhere"]}
    assert elsewhere == {other.path for other in open_places(state, place.digest)}, description
    others = {
        version.tag
        for version in versions
        if version.filing == place.filing
        and version.files.get(place.path, (place.digest, 0))[0] != place.digest
        and version.files[place.path][1]
        and place.path not in restricted_paths(state, version)
    }
    assert set(description["other_contents"]) == others, description
    assert not description["is_open"], description


# --- the program's answers


def compare_restrictions(world: World, archive: Archive) -> None:
    """Compare the index and the modes of the content objects."""
    state, index = world.state, archive.index
    in_force = {
        Place(each.filing, name_as_text(each.path), each.sha256): (each.seq, each.reason)
        for each in list_restrictions(index)
    }
    assert in_force == state.restrictions
    assert restricted_content(index) == closed_content(state)
    listed = {
        tag: {name_as_text(each.path): each.reason for each in restrictions}
        for tag, restrictions in restricted_files(index).items()
        if not state.versions[tag].disposed
    }
    expected = {tag: restricted_paths(state, version) for tag, version in state.versions.items()}
    assert listed == {
        tag: reasons for tag, reasons in expected.items() if reasons and not state.versions[tag].disposed
    }
    compare_modes(world)


def compare_modes(world: World) -> None:
    """Compare who may read each content object.

    Another user may be able to read closed content after a crash or a restored backup, until the service starts.
    Content that is not closed any more stays closed until a restriction of it is ended.
    """
    closed = closed_content(world.state)
    for path in (world.repository / "lfs/objects").glob("??/??/*"):
        mode = path.stat().st_mode & 0o777
        if path.name in closed and not world.may_have_open_content:
            assert mode == OWNER_ONLY, f"others can read {path.name}, which is restricted"
        if path.name not in world.once_closed:
            assert mode == SHARED, f"others cannot read {path.name}, which was never restricted"


def compare_restricted_answers(world: World) -> None:
    """Compare what ``status``, ``log``, ``show`` and ``explain`` say of restricted files."""
    state = world.state
    shown = read_json(world.root, "status")["restricted"]
    assert [(item["seq"], item["reason"]) for item in shown] == sorted(state.restrictions.values())
    closed = closed_content(state)
    assert {item["sha256"] for item in shown if not item["elsewhere"]} == closed
    versions = {item["tag"]: item for item in read_json(world.root, "log")}
    for tag, version in state.versions.items():
        if not version.disposed:
            listed = {item["path"]: item["reason"] for item in versions[tag].get("restricted", [])}
            assert listed == restricted_paths(state, version), tag
    for tag in [tag for tag, version in state.versions.items() if restricted_paths(state, version)][-2:]:
        reasons = restricted_paths(state, state.versions[tag])
        materials = read_json(world.root, "show", tag)["materials"]
        assert {item["path"]: item["restricted"] for item in materials if "restricted" in item} == reasons, tag
        if not state.versions[tag].disposed:
            explained = read_json(world.root, "explain", tag)["restricted"]
            assert {item["path"]: item["reason"] for item in explained} == reasons, tag


def compare_package(state: ReferenceState, versions: Iterable[ReferenceVersion], folder: Path) -> None:
    """Compare the lists of a package, and the content in it, with the restrictions."""
    packed: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for entry in json.loads((folder / "data/versions.json").read_text("utf-8")):
        for row_line in (folder / entry["list"]).read_text("utf-8").splitlines():
            row = json.loads(row_line)
            packed[entry["tag"]][row["path"]] = row
    for version in versions:
        reasons = restricted_paths(state, version)
        for path, (_, size) in version.files.items():
            row, is_gone = packed[version.tag][path], bool(version.disposed and size)
            expected = f"restricted: {reasons[path]}" if path in reasons and not is_gone else None
            if expected is not None or not is_gone:
                assert (row.get("why") or None, row["file"] is None) == (expected, expected is not None), row
