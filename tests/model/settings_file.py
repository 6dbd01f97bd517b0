"""The settings of an archive, in a file as people write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archiver.config.loader import load_config
from archiver.config.settings import Config

#: The calendar years of retention profiles, as docs/settings.md has them.
YEARS_OF_PROFILE = {"sec-17a4": 6, "cn-archive-10": 10, "cn-archive-30": 30, "cn-archive-permanent": 10_000}
#: The years of everything without a profile.
_DEFAULT_YEARS = 3
DEFAULT_TIME_ZONE = "Asia/Shanghai"


@dataclass
class ConfiguredRetention:
    """What the settings say about retention."""

    #: Scope -> profile: empty for everything, a filing, or FILING/SUBMISSION.
    profiles: dict[str, str] = field(default_factory=dict)
    time_zone: str = DEFAULT_TIME_ZONE

    @property
    def years_by_scope(self) -> Mapping[str, int]:
        return {"": _DEFAULT_YEARS} | {scope: YEARS_OF_PROFILE[name] for scope, name in self.profiles.items()}

    def write(self, root: Path) -> Config:
        """Write ``archiver.toml`` of the archive and the watched folder in ``root``; return what the program reads.

        Files settle at once, so that nothing waits for the clock.
        """
        lines = [f"archive.path = {_quote(str(root / 'archive'))}", "[watch]"]
        lines += [f"path = {_quote(str(root / 'materials'))}", "settle_seconds = 0", "maximum_delay_seconds = 20"]
        lines += ["[retention]", f"timezone = {_quote(self.time_zone)}"]
        if "" in self.profiles:
            lines.append(f"profiles = [{_quote(self.profiles[''])}]")
        for filing in dict.fromkeys(scope.split("/")[0] for scope in self.profiles if scope):
            lines.append(f"[filings.{_quote(filing)}]")
            if filing in self.profiles:
                lines.append(f"profiles = [{_quote(self.profiles[filing])}]")
            submissions = [
                f"{_quote(scope.split('/')[1])} = [{_quote(name)}]"
                for scope, name in self.profiles.items()
                if scope.startswith(f"{filing}/")
            ]
            lines.append(f"submissions = {{ {', '.join(submissions)} }}")
        path = root / "archiver.toml"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return load_config(path)


def _quote(text: str) -> str:
    """Return a text as TOML writes it, which JSON does in the same way."""
    return json.dumps(text, ensure_ascii=False)
