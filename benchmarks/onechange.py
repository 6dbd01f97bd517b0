"""One changed file, captured again and again as the daemon does it: what each capture costs.

    python benchmarks/onechange.py ARCHIVE [--times 30]

Prints the median of wall and of CPU milliseconds, git's processes counted in.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from archiver.config.settings import Config
from archiver.intake.capture import Capturer
from archiver.intake.folder.access import open_access
from archiver.intake.group_reader import GroupToRead
from archiver.intake.layout import group_of_submission
from archiver.intake.snapshot import Snapshot, State
from archiver.model import Submission
from archiver.naming.ref_names import RefName
from archiver.store.archive import Archive

_SUBMISSION = Submission(RefName("算法00000"), RefName("报送00"), "算法00000".encode(), "报送00".encode())


def cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--times", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        watch = Path(folder)
        changed = watch / "算法00000/报送00/材料/文件00000.pdf"
        changed.parent.mkdir(parents=True)
        config = Config(source=watch / "none", archive=options.archive, watch=watch)
        archive, access = Archive(options.archive), open_access(watch, options.archive)
        snapshot = Snapshot(watch / "state.db")
        capturer = Capturer(archive, snapshot, access, config, threading.Event())
        walls, cpus = [], []
        for number in range(options.times + 5):
            changed.write_text(f"{number} {time.time_ns()}")
            # Younger than a clock tick, it would be read twice.
            time.sleep(0.03)
            signature = access.look_up(bytes(changed.relative_to(watch))).stat_data
            started, used = time.perf_counter(), cpu()
            states: dict[bytes, State] = {bytes(changed.relative_to(watch)): signature}
            [job] = capturer.stage([GroupToRead(group_of_submission(_SUBMISSION), states)])
            outcome = capturer.finish(job, 30)
            walls.append(1000 * (time.perf_counter() - started))
            # The persistent reader is not reaped before the end; it reads a few objects each time.
            cpus.append(1000 * (cpu() - used))
            assert outcome.tag
        capturer.close()
        archive.close()
        sys.stdout.write(f"{statistics.median(walls[5:]):.1f} {statistics.median(cpus[5:]):.1f}\n")


if __name__ == "__main__":
    main()
