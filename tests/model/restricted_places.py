"""Which files are restricted, by a simple statement of docs/format.md."""

from __future__ import annotations

from tests.model.reference import ReferenceState, ReferenceVersion
from tests.model.reference_records import Place

#: The modes of a content object.
OWNER_ONLY, SHARED = 0o400, 0o444


def place_in(version: ReferenceVersion, path: str) -> Place | None:
    """Return the place of a file of a version; None without such a file."""
    file = version.materials.get(path)
    return None if file is None else Place(version.filing, path, file[0])


def restricted_paths(state: ReferenceState, version: ReferenceVersion) -> dict[str, str]:
    """Return the reason of each restriction that covers a file of the version, by the path of the file."""
    places = {path: place_in(version, path) for path in version.files}
    return {
        path: state.restrictions[place].reason
        for path, place in places.items()
        if place is not None and place in state.restrictions
    }


def open_places(state: ReferenceState, digest: str) -> set[Place]:
    """Return the places of a content that no restriction covers, in versions that were not disposed of."""
    return {
        place
        for version in state.versions.values()
        if not version.disposed
        for path in version.files
        if (place := place_in(version, path)) is not None and place.digest == digest
    } - state.restrictions.keys()


def closed_content(state: ReferenceState) -> set[str]:
    """Return the digest of each content that only the owner may read."""
    return {place.digest for place in state.restrictions if not open_places(state, place.digest)}
