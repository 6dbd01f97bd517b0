"""List the materials expected in a submission of each kind.  Pure.

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
    """Return each expected name with the paths containing the name; a material without a path is missing."""
    all_paths = list(paths)
    return [(name, [path for path in all_paths if name in path]) for name in expected.get(kind, ())]
