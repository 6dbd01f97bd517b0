"""Which objects a pack has: its index decides whether another pack may be deleted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.store.git import pack_index
from archiver.store.git.pack_index import PackEntry, PackSize, holds_all_objects, list_packs

OIDS = st.sets(st.integers(0, 40).map(lambda number: bytes([number * 5 % 256]) * 20), max_size=12)


def write_index(repository: Path, name: str, oids: set[bytes]) -> None:
    folder = repository / "objects/pack"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.idx").unlink(missing_ok=True)
    entries = [PackEntry(oid, 0, 12 + number) for number, oid in enumerate(sorted(oids))]
    pack_index.write_index(str(folder / f"{name}.idx"), entries, b"p" * 20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(OIDS, OIDS)
def test_a_pack_holds_all_objects_of_its_subsets(tmp_path: Path, one: set[bytes], other: set[bytes]) -> None:
    write_index(tmp_path, "pack-one", one)
    write_index(tmp_path, "pack-other", other)
    assert holds_all_objects(tmp_path, "pack-one", "pack-other") == (other <= one)
    assert sorted(list_packs(tmp_path)) == [PackSize("pack-one", len(one)), PackSize("pack-other", len(other))]


def test_a_cut_index_proves_nothing(tmp_path: Path) -> None:
    oids = {bytes([number]) * 20 for number in range(20)}
    write_index(tmp_path, "pack-whole", oids)
    write_index(tmp_path, "pack-cut", oids)
    path = tmp_path / "objects/pack/pack-cut.idx"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:1200])
    with pytest.raises(ValueError, match="cut"):
        holds_all_objects(tmp_path, "pack-cut", "pack-whole")
    path.write_bytes(data[:100])
    with pytest.raises(ValueError, match="version 2"):
        holds_all_objects(tmp_path, "pack-whole", "pack-cut")
    assert list_packs(tmp_path) == [PackSize("pack-whole", 20)]
