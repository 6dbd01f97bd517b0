"""List the materials expected in a submission of each kind.  Pure.

The lists are those of the filing portal; no statute prescribes them.  An expected material is present if the path
of a submitted file contains its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

#: Kind of submission -> names of the materials that the portal asks for.
EXPECTED_MATERIALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "subject": ("营业执照", "身份证", "算法备案承诺书", "落实算法安全主体责任基本情况"),
        "first": ("算法备案承诺书", "落实算法安全主体责任基本情况", "算法安全自评估报告", "拟公示内容"),
        "correction": ("补正通知",),
        "change": ("拟公示内容",),
    }
)


class ExpectedMaterial(NamedTuple):
    """An expected material, and the files of a submission whose paths contain the expected name."""

    name: str  # as the portal calls it
    paths: list[str]  # readable paths that contain the name; empty if the material is missing


def find_expected(
    submission_kind: str, material_paths: Iterable[str], expected_names: Mapping[str, tuple[str, ...]]
) -> list[ExpectedMaterial]:
    """Return each material expected in a submission, with those of ``material_paths`` that contain its name.

    ``expected_names`` maps kinds of submissions to names of materials, like EXPECTED_MATERIALS.  Returns an empty
    list if ``expected_names`` lacks ``submission_kind``.
    """
    all_paths = list(material_paths)
    return [
        ExpectedMaterial(material_name, [path for path in all_paths if material_name in path])
        for material_name in expected_names.get(submission_kind, ())
    ]
