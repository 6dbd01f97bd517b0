"""Define the retention profiles: named retention periods, each with the law or decision behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from archiver.errors import LazyMessage

#: The shortest retention in calendar years. No setting and no profile can be shorter.
FLOOR_YEARS = 3
#: A number of years beyond the end of Python's calendar, which stands for permanent retention.
PERMANENT = 10_000


@dataclass(frozen=True, slots=True)
class Profile:
    """A named retention period of at least ``FLOOR_YEARS``."""

    name: str
    years: int  # calendar years
    basis: LazyMessage  # the law or the decision behind the period

    def __post_init__(self) -> None:
        """Raise ValueError if the period is shorter than the floor."""
        if self.years < FLOOR_YEARS:
            raise ValueError(f"a period under {FLOOR_YEARS} years")


#: No statute that sets a period for filing materials was found, so the basis is called house policy.
BASIS = LazyMessage.define(
    "company policy: algorithm filing materials are retained for at least 3 years, version by version, ready for "
    "spot checks",
    code="basis.house-policy",
)
_BASIS_IMPACT = LazyMessage.define(
    "Personal Information Protection Law of China, art. 56: impact assessments, at least 3 years",
    code="basis.impact-assessment",
)
_BASIS_CLASS = LazyMessage.define(
    "company policy: class in the company's own retention schedule", code="basis.archive-class"
)
_BASIS_EU = LazyMessage.define(
    "EU AI Act, art. 18: documentation of high-risk systems, 10 years", code="basis.eu-ai-act"
)
_BASIS_SEC = LazyMessage.define("SEC rule 17a-4: records of broker-dealers, 6 years", code="basis.sec-17a4")
#: The basis of a period that was in force before a setting was shortened.
BASIS_PROMISED = LazyMessage.define(
    "earlier setting, still binding: a retention period can be extended, never shortened", code="basis.promised"
)

#: The name of the profile for everything without a setting.
DEFAULT = "cn-algorithm-filing"
#: The profiles by name.
PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(DEFAULT, 3, BASIS),
            Profile("cn-impact-assessment", 3, _BASIS_IMPACT),
            Profile("cn-archive-10", 10, _BASIS_CLASS),
            Profile("cn-archive-30", 30, _BASIS_CLASS),
            Profile("cn-archive-permanent", PERMANENT, _BASIS_CLASS),
            Profile("eu-ai-act", 10, _BASIS_EU),
            Profile("sec-17a4", 6, _BASIS_SEC),
        )
    }
)
