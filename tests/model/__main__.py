"""The long run: ``python -m tests.model --steps 100000 --part N/M [--seed S] [--state FILE]``.

The work of a part is done in pieces.  With ``--state``, the finished pieces are noted in a file, and the same
command goes on after them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import starting_points
from tests.model.archives import GoldenArchive, NewArchive
from tests.model.machine import ArchiveMachine, StepCounter

#: A longer run takes longer to shrink when it fails; a shorter one seldom comes to a disposal.
STEPS_PER_RUN = 50
_RUNS_PER_PIECE = 10
#: One piece in so many begins with the golden archive, whose acts take longer.
_PIECES_PER_GOLDEN = 3
#: Pieces of one seed have the seeds from ``seed * _SEED_FACTOR`` on.
_SEED_FACTOR = 1_000_003


@dataclass
class Progress:
    """The finished pieces of a run, which is told by its seed and the number of its steps."""

    seed: int
    steps: int
    pieces: list[int] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path | None) -> Progress | None:
        return cls(**json.loads(path.read_text("utf-8"))) if path is not None and path.exists() else None

    def write(self, path: Path) -> None:
        new_path = path.with_name(path.name + ".new")
        new_path.write_text(json.dumps(asdict(self)) + "\n", "utf-8")
        new_path.replace(path)


def run_piece(number: int, run_seed: int, *, shrinks: bool) -> None:
    """Do one piece; raises what its machine finds, after shrinking it."""
    machine: type[ArchiveMachine] = GoldenArchive if number % _PIECES_PER_GOLDEN == 0 else NewArchive
    # The seed becomes an attribute of the class.
    seeded = seed(run_seed * _SEED_FACTOR + number)(type(machine.__name__, (machine,), {}))
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=_RUNS_PER_PIECE,
            stateful_step_count=STEPS_PER_RUN,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.model")
    parser.add_argument("--steps", type=int, default=100_000, help="Steps of all parts together.")
    parser.add_argument("--part", default="1/1", metavar="N/M", help="Do the Nth of M parts of the work.")
    parser.add_argument("--seed", type=int, help="Seed of all parts (default: random).")
    parser.add_argument("--state", type=Path, help="File in which the finished pieces are noted.")
    parser.add_argument("--no-shrink", action="store_true", help="Show a failure as it was found.")
    options = parser.parse_args()
    part, part_count = map(int, options.part.split("/"))
    progress = Progress.read(options.state)
    if progress is None:
        run_seed = random.randrange(1 << 32) if options.seed is None else options.seed
        progress = Progress(run_seed, options.steps)
    elif (options.seed or progress.seed, options.steps) != (progress.seed, progress.steps):
        parser.error(f"{options.state} is of a run with seed {progress.seed} and {progress.steps} steps")
    piece_count = -(-options.steps // (STEPS_PER_RUN * _RUNS_PER_PIECE))
    pieces = [number for number in range(piece_count) if number % part_count == part - 1]
    print(f"seed {progress.seed}, part {part} of {part_count}: {len(pieces)} pieces", flush=True)
    os.environ |= {"LC_ALL": "C.UTF-8", "HOME": os.fspath(starting_points.work_folder())}
    for number in pieces:
        if number in progress.pieces:
            continue
        begin = time.monotonic()
        try:
            run_piece(number, progress.seed, shrinks=not options.no_shrink)
        except BaseException:
            print(f"piece {number} of seed {progress.seed} failed", flush=True)
            raise
        progress.pieces.append(number)
        if options.state is not None:
            progress.write(options.state)
        print(f"piece {number}: {time.monotonic() - begin:.0f} s; {StepCounter.describe()}", flush=True)


if __name__ == "__main__":
    try:
        main()
    finally:
        starting_points.remove_work_folder()
    sys.exit()
