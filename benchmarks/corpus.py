"""Corpora for benchmarks and scale tests, the same bytes from the same seed."""

from __future__ import annotations

import random
from pathlib import Path

_BLOCK = 1 << 20


def mixed(root: Path, files: int = 4000, total_bytes: int = 1_700_000_000, seed: int = 1) -> None:
    """Many small and some large files in submission folders with Chinese names.

    Sizes follow a long tail, as filing materials do: most under 200 KB, scans of
    some MB; the sum comes close to ``total_bytes``.
    """
    chance = random.Random(seed)
    weights = [chance.lognormvariate(0, 1.8) for _ in range(files)]
    scale = total_bytes / sum(weights)
    for number, weight in enumerate(weights):
        folder = root / f"算法{number % 8:02d}" / f"报送{number // 8 % 5}" / f"材料{number % 40:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"文件{number:05d}.bin", max(1, int(weight * scale)), chance)


def small(root: Path, files: int = 200_000, seed: int = 2) -> None:
    """Files of 1 to 20 KB, 100 in a folder."""
    chance = random.Random(seed)
    for number in range(files):
        folder = root / f"算法{number // 25_000:02d}" / f"报送{number // 5000 % 5}" / f"材料{number // 100:04d}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"文件{number:06d}.bin", chance.randint(1000, 20_000), chance)


def submissions(root: Path, count: int, files_each: int, size: int = 20_000, seed: int = 5) -> None:
    """Many submissions of few files, as companies have: 20 submissions in each filing."""
    chance = random.Random(seed)
    for number in range(count):
        folder = root / f"算法{number // 20:03d}" / f"报送{number:05d}"
        folder.mkdir(parents=True)
        for file_number in range(files_each):
            _write(folder / f"材料{file_number:02d}.bin", size, chance)


def large(root: Path, files: int = 2, size: int = 4_000_000_000, seed: int = 3) -> None:
    """Few files of gigabytes."""
    chance = random.Random(seed)
    for number in range(files):
        folder = root / "算法" / f"报送{number}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "录像.bin", size, chance)


def deep(root: Path, files: int = 4000, depth: int = 12, seed: int = 4) -> None:
    """Chinese paths of about 250 characters."""
    chance = random.Random(seed)
    for number in range(files):
        parts = [f"第{level:02d}层材料目录与说明文字{number // 4**level % 4}" for level in range(depth)]
        folder = root.joinpath("算法", "首次", *parts)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"文件{number:05d}.bin", chance.randint(1000, 100_000), chance)


def _write(path: Path, size: int, chance: random.Random) -> None:
    # Random bytes throughout: a peer that looks for repeated chunks finds none.
    with open(path, "wb") as stream:
        while size > 0:
            stream.write(chance.randbytes(min(size, _BLOCK)))
            size -= _BLOCK
