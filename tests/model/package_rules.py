"""Inspection packages, which their own program has to verify."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from jinja2 import Environment

from archiver.audit.copy_pool import CopyPool, FinishedCopy
from archiver.audit.copy_worker import CopyPaths, copy_files
from archiver.audit.export_selection import ExportSelection, build_export_record
from archiver.audit.package import export_package
from archiver.audit.report_model import Presentation
from archiver.config.settings import Config
from archiver.errors import LazyMessage
from archiver.retention.policy import policy_in_force
from archiver.store.archive import Archive
from archiver.store.content.copier import Copier
from tests.model.expectations import Expectation
from tests.model.machine import ArchiveMachine
from tests.model.program import Act
from tests.model.restrictions import compare_package

_compile_template = Environment.compile
_compiled_templates: dict[str, CodeType] = {}


class PackageRules(ArchiveMachine):
    """Packages of everything, or of one filing; the note that the command journals afterwards is left out."""

    @precondition(lambda self: self.state.versions)
    @rule(choice=st.none() | st.integers(0, 9))
    def export(self, choice: int | None) -> None:
        filings = list(dict.fromkeys(version.filing for version in self.state.versions.values()))
        chosen = [] if choice is None else [filings[choice % len(filings)]]
        target = self.world.root / "package"
        self.perform(_export(self.config, chosen, target), Expectation(), is_for_any_format=True)
        checker = _check_package(target)
        versions = [version for version in self.state.versions.values() if not chosen or version.filing in chosen]
        compare_package(self.state, versions, target)
        shutil.rmtree(target)
        is_unsigned = self.state.format > 1 and self.state.covered_seq != self.state.seq
        expected_files = ["data/heads.jsonl"] if is_unsigned else []
        # A disposal that a crash has interrupted has no certificate yet.
        expected_files += [
            f"data/versions/{version.tag}.jsonl"
            for version in versions
            if version.disposed and not self.state.plans[version.disposed].is_certified
            for _, size in version.files.values()
            if size
        ]
        assert sorted(file for file, _ in checker.findings) == sorted(expected_files), checker.findings
        assert checker.version_count == len(versions)
        assert checker.verified_head_count <= len(checker.heads)
        assert len(checker.corrections) == sum(
            len(record.corrections) for record in self.state.correctable.values()
        )


def _export(config: Config, filings: Sequence[str], target: Path) -> Act:
    def act(archive: Archive) -> None:
        selection = ExportSelection(filings=filings)
        policy = policy_in_force(config, archive.index.retention_promises())
        record = build_export_record(archive, selection, None, None)
        presentation = Presentation("zh", _to_text, {})
        with patch.object(Environment, "compile", _compile_once):
            export_package(archive, _DirectCopies(), selection, target, policy, record, presentation)

    return act


def _compile_once(
    environment: Environment, source: str, name: str | None = None, filename: str | None = None
) -> CodeType:
    """Return the compiled template, which takes longer to compile than all the rest of a package to write."""
    if source not in _compiled_templates:
        _compiled_templates[source] = _compile_template(environment, source, name, filename)
    return _compiled_templates[source]


def _to_text(message: LazyMessage) -> str:
    return str(message)


class _DirectCopies(CopyPool):
    """Makes the copies in this process: to start others takes longer than a few small copies."""

    def __init__(self) -> None:
        self._copies: list[tuple[str, CopyPaths]] = []

    def close(self) -> None:
        """Do nothing: no process was started."""

    def queue_copy(
        self, copy_name: str, source_path: str, target_path: str, size: int, algorithms: Sequence[str]
    ) -> None:
        self._copies.append((copy_name, CopyPaths(source_path, target_path)))

    def finish_copies(self, algorithms: Sequence[str]) -> Iterator[FinishedCopy]:
        outcomes = copy_files([paths for _, paths in self._copies], algorithms, Copier())
        for (name, _), outcome in zip(self._copies, outcomes, strict=True):
            assert not hasattr(outcome, "errno"), outcome
            yield FinishedCopy(name, outcome)


def _check_package(folder: Path) -> Any:
    """Run the checks of the package's ``verify.py`` within this process, and return its state."""
    path = folder / "verify.py"
    # An import would leave compiled code in the package.
    verifier = ModuleType("package_verifier")
    verifier.__file__ = os.fspath(path)
    exec(compile(path.read_bytes(), path, "exec"), verifier.__dict__)
    checker = verifier.Checker("en")
    verifier.check(checker, None)
    return checker
