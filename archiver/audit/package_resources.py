"""The files that are the same in every package: the verifier, and the README with commands of other programs."""

from __future__ import annotations

from importlib import resources

from archiver.audit.bag import BagWriter

#: Files of the folder ``resources`` that every package has, under the same name.
_COMMON_FILES = ("verify.py", "verify.bat")
_README = "README.txt"
#: The README of a package without an event of format 2: such a package is the same in every release.
_README_OF_FORMAT_1 = "README-format-1.txt"


def add_resources(bag_writer: BagWriter, *, is_format_1: bool) -> None:
    """Write the verifier and the README, that of format 1 if ``is_format_1``; raises OSError."""
    resource_folder = resources.files("archiver.audit").joinpath("resources")
    for file_name in _COMMON_FILES:
        bag_writer.add_tag_file(file_name, resource_folder.joinpath(file_name).read_bytes())
    readme = resource_folder.joinpath(_README_OF_FORMAT_1 if is_format_1 else _README)
    bag_writer.add_tag_file(_README, readme.read_bytes())
