"""The fixed files of every inspection package: the verifier, and a README with commands of other programs."""

from __future__ import annotations

from importlib import resources

from archiver.audit.bag import BagWriter

#: Files of the folder ``resources`` that every package has, under the same name.
_COMMON_FILES = ("verify.py", "verify.bat")
_README = "README.txt"
#: The README of a package whose events all have the old journal format. Every release writes the same one then.
_README_OF_FORMAT_1 = "README-format-1.txt"


def add_resources(bag_writer: BagWriter, *, is_format_1: bool) -> None:
    """Write the verifier and the README; raises OSError.

    ``is_format_1`` selects the README for a journal whose events all have the old format, format 1.
    """
    resource_folder = resources.files("archiver.audit").joinpath("resources")
    for file_name in _COMMON_FILES:
        bag_writer.add_tag_file(file_name, resource_folder.joinpath(file_name).read_bytes())
    readme = resource_folder.joinpath(_README_OF_FORMAT_1 if is_format_1 else _README)
    bag_writer.add_tag_file(_README, readme.read_bytes())
