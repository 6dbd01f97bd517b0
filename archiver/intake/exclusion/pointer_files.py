"""The suffixes of files that stand for a document elsewhere.  Data, one line each.

A line states the suffix, what the file is, the program that creates it, and where that program states or shows the
suffix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archiver.errors import LazyMessage

ONLINE_ONLY = LazyMessage("file that is not downloaded")
SHORTCUT = LazyMessage("shortcut")
WEB_ADDRESS = LazyMessage("web address")
ONLINE_DOCUMENT = LazyMessage("pointer to an online document")


class PointerFile(NamedTuple):
    """A suffix of files that stand for a document."""

    suffix: bytes  # in lower case, without the dot
    purpose: LazyMessage
    program: str
    source: str


POINTER_FILES = (
    PointerFile(b"nextcloud", ONLINE_ONLY, "Nextcloud", "desktop client: APPLICATION_DOTVIRTUALFILE_SUFFIX"),
    PointerFile(b"owncloud", ONLINE_ONLY, "ownCloud", "desktop client: APPLICATION_DOTVIRTUALFILE_SUFFIX"),
    PointerFile(b"icloud", ONLINE_ONLY, "iCloud Drive", "macOS until 13: .NAME.icloud, a property list"),
    PointerFile(b"lnk", SHORTCUT, "Windows", "MS-SHLLINK"),
    PointerFile(b"url", WEB_ADDRESS, "Windows", "Explorer: Internet shortcut"),
    PointerFile(b"website", WEB_ADDRESS, "Internet Explorer", "pinned site"),
    PointerFile(b"webloc", WEB_ADDRESS, "macOS", "Finder: web location, a property list"),
    PointerFile(b"gdoc", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google Docs"),
    PointerFile(b"gsheet", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google Sheets"),
    PointerFile(b"gslides", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google Slides"),
    PointerFile(b"gdraw", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google Drawings"),
    PointerFile(b"gform", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google Forms"),
    PointerFile(b"gsite", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google Sites"),
    PointerFile(b"gmap", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: Google My Maps"),
    PointerFile(b"glink", ONLINE_DOCUMENT, "Google Drive", "Drive for desktop: shortcuts"),
)

#: Suffix in lower case -> its line.
POINTER_FILES_BY_SUFFIX: Mapping[bytes, PointerFile] = {pointer.suffix: pointer for pointer in POINTER_FILES}
#: Suffixes of documents that always have content, so that one of 0 bytes is an online-only file, or broken.
DOCUMENT_SUFFIXES = frozenset(
    {
        *(b"pdf", b"ofd", b"doc", b"docx", b"xls", b"xlsx", b"ppt", b"pptx", b"wps", b"et", b"dps"),
        *(b"odt", b"ods", b"odp", b"rtf", b"jpg", b"jpeg", b"png", b"gif", b"bmp", b"tif", b"tiff"),
        *(b"zip", b"rar", b"7z", b"mp4", b"mov", b"avi", b"wmv", b"mp3", b"wav", b"eml", b"msg"),
    }
)
