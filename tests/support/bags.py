"""Inspection packages as bagit-python reads them (RFC 8493)."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import bagit


def open_bag(folder: Path) -> bagit.Bag:
    """Read a bag's tags and manifests.  Raises bagit.BagError where they are not what they should be."""
    with warnings.catch_warnings():
        # bagit 1.9, its last release, calls what Python 3.13 and 3.14 deprecate.
        for message in ("'count' is passed as positional argument", "codecs.open() is deprecated"):
            warnings.filterwarnings("ignore", re.escape(message), DeprecationWarning)
        return bagit.Bag(os.fspath(folder))
