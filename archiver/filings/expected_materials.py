"""List the materials that a submission should hold, by its kind.  Pure.

No statute has this list; it is what the filing portal asks for.  A material counts if its path contains the word.
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


def find_expected(
    kind: str, paths: Iterable[str], expected: Mapping[str, tuple[str, ...]]
) -> list[tuple[str, list[str]]]:
    """Return each expected word with the paths that contain it; no path means that the material is missing."""
    candidates = list(paths)
    return [(word, [path for path in candidates if word in path]) for word in expected.get(kind, ())]
