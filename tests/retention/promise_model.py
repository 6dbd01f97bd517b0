"""Configurations with any retention, and what an independent model says of accepting them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from archiver.config.settings import Config, FilingSettings
from archiver.model import Promises
from archiver.profiles import PROFILES
from archiver.retention.promises import find_waiting_promise

NOTHING_ACCEPTED = Promises({}, (), live=False)


def settings(**changes: Any) -> Config:
    return Config(Path("/x/c"), Path("/x/a"), Path("/x/w"), **changes)


names_of_profiles = st.lists(st.sampled_from(sorted(PROFILES)), max_size=3).map(tuple)
configurations = st.builds(
    lambda years, general, filing, submission, zone, live: {
        "retention_years": years,
        "profiles": general,
        "filings": {"f": FilingSettings(profiles=filing, submissions={"s": submission})},
        "timezone": zone,
        "hold_while_live": live,
    },
    st.integers(3, 40),
    names_of_profiles,
    names_of_profiles,
    names_of_profiles,
    st.sampled_from(["Asia/Shanghai", "Pacific/Kiritimati", "Pacific/Midway", "UTC"]),
    st.booleans(),
)


def accepted(config: Config, before: Promises) -> Promises:
    """What is promised after a person accepted all that waits, by the events that are journalled for it."""
    waiting = find_waiting_promise(config, before)
    if waiting is None:
        return before
    years, zones, live = dict(before.years), list(before.zones), before.live
    for event in waiting.draft_events():
        for scope, each in {"": event.retention_years, **(event.scopes or {})}.items():
            years[scope] = max(each, years.get(scope, 0))
        zones.append(event.timezone or "")
        live = live or bool(event.hold_while_live)
    return Promises(years, tuple(dict.fromkeys(zones)), live)
