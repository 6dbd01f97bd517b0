"""Change files in a git tree; only the folders on the way to a changed file are read and written."""

from __future__ import annotations

import re
from collections.abc import Callable

_FILE_MODE, _FOLDER_MODE = b"100644", b"40000"
#: An entry of a tree object: mode, name, and the object id in 20 bytes.
_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)


class EditableTree:
    """A tree of files with its changes; :meth:`write` ends its use."""

    def __init__(self, body: bytes, load_tree: Callable[[str], bytes]) -> None:
        """Begin with the tree object ``body``.

        ``load_tree`` returns the bytes of a tree by its object id.  Its errors are those of :meth:`add` and
        :meth:`delete`.
        """
        self._load_tree = load_tree
        self._root = _Folder(body)

    def add(self, path: bytes, oid: str) -> None:
        """Set the blob at ``path``.  A file that is in the way becomes a folder, and the reverse."""
        *folder_names, name = path.split(b"/")
        folder = self._root
        for folder_name in folder_names:
            folder = folder.open_subfolder(folder_name, self._load_tree)
        folder.remove(name)
        folder.entries[name] = _FILE_MODE, bytes.fromhex(oid)

    def delete(self, path: bytes) -> None:
        """Delete a file, or a folder with all that is in it; nothing happens if there is none."""
        *folder_names, name = path.split(b"/")
        folder = self._root
        for folder_name in folder_names:
            if not folder.has_subfolder(folder_name):
                return
            folder = folder.open_subfolder(folder_name, self._load_tree)
        folder.remove(name)

    def write(self, write_tree: Callable[[bytes], str]) -> str:
        """Write each changed folder, with a function that returns the object id; return that of the whole tree.

        Folders without files vanish, as git has none.
        """
        # Not recursive: a path may have two thousand names.  Each folder comes before those in it.
        folders: list[tuple[_Folder | None, bytes, _Folder]] = [(None, b"", self._root)]
        for _, _, folder in folders:
            folders += [(folder, name, subfolder) for name, subfolder in folder.opened.items()]
        oid = ""
        for parent, name, folder in reversed(folders):
            if parent is None or folder.entries:
                oid = write_tree(folder.encode())
            if parent is not None and folder.entries:
                parent.entries[name] = _FOLDER_MODE, bytes.fromhex(oid)
        return oid


class _Folder:
    """A folder on the way to a changed file."""

    def __init__(self, body: bytes) -> None:
        """Begin with the tree object ``body``."""
        #: Mode and object id by name, without the folders in ``opened``.
        self.entries = {name: (mode, oid) for mode, name, oid in _ENTRY.findall(body)}
        self.opened: dict[bytes, _Folder] = {}

    def has_subfolder(self, name: bytes) -> bool:
        """Return True if there is a folder of this name."""
        return name in self.opened or self.entries.get(name, (b"",))[0] == _FOLDER_MODE

    def open_subfolder(self, name: bytes, load_tree: Callable[[str], bytes]) -> _Folder:
        """Return the folder of this name, empty if there is none."""
        if name not in self.opened:
            mode, oid = self.entries.pop(name, (b"", b""))
            self.opened[name] = _Folder(load_tree(oid.hex()) if mode == _FOLDER_MODE else b"")
        return self.opened[name]

    def remove(self, name: bytes) -> None:
        """Remove the file or folder of this name, if there is one."""
        self.entries.pop(name, None)
        self.opened.pop(name, None)

    def encode(self) -> bytes:
        """Return the tree object; all opened folders are among the entries by now."""
        # Git compares the name of a folder as if it ended with a slash.
        ordered = sorted(self.entries.items(), key=_sort_key)
        return b"".join([b"%s %s\0%s" % (mode, name, oid) for name, (mode, oid) in ordered])


def _sort_key(entry: tuple[bytes, tuple[bytes, bytes]]) -> bytes:
    name, (mode, _) = entry
    return name + b"/" if mode == _FOLDER_MODE else name
