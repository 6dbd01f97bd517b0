"""Which materials a submission is expected to hold, by its kind.  Pure.

No statute has this list; it is what the portal asks for.
A word is found in the name of a material, wherever it stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

EXPECTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "subject": ("营业执照", "身份证", "算法备案承诺书", "落实算法安全主体责任基本情况"),
        "first": ("算法备案承诺书", "落实算法安全主体责任基本情况", "算法安全自评估报告", "拟公示内容"),
        "correction": ("补正通知",),
        "change": ("拟公示内容",),
    }
)


def compared(
    kind: str, names: Iterable[str], expected: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, list[str]]]:
    """Each expected word, with the names that it is found in; an empty list where it is missing."""
    there = list(names)
    return [(word, [name for name in there if word in name]) for word in expected.get(kind, ())]
