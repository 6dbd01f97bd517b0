"""The power goes off while versions are written: what was reported is there, and the next run completes the rest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.power_cut import cut_once, site_on


@pytest.mark.needs("root", "loop device")
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_reported_versions_outlive_power_cuts(tmp_path: Path, filesystem: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with site_on(tmp_path / "site", filesystem) as (site, volume):
        for _ in range(3):
            cut_once(site, volume, chance)
