"""Change files in a git tree, and read and write only the folders on the path of a changed file."""

from __future__ import annotations

import re
from collections.abc import Callable

_FILE_MODE, _FOLDER_MODE = b"100644", b"40000"
#: An entry of a tree object: mode, name, and the object id in 20 bytes.
_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)


class EditableTree:
    """A git tree whose files can be changed; must not be used after :meth:`write`."""

    def __init__(self, body: bytes, load_tree: Callable[[str], bytes]) -> None:
        """Begin with ``body``, the bytes of a tree object; empty bytes are a tree without files.

        ``load_tree`` returns the bytes of the tree with a given object id.  Its errors are raised by :meth:`add`
        and :meth:`delete`.
        """
        self._load_tree = load_tree
        self._root = _Folder(body)

    def add(self, path: bytes, oid: str) -> None:
        """Put the blob ``oid`` at ``path``, in place of any file or folder there.

        If a parent folder in ``path`` is a file, the file is replaced by a folder.
        """
        *folder_names, name = path.split(b"/")
        folder = self._root
        for folder_name in folder_names:
            folder = folder.open_subfolder(folder_name, self._load_tree)
        folder.remove(name)
        folder.entries[name] = _FILE_MODE, bytes.fromhex(oid)

    def delete(self, path: bytes) -> None:
        """Delete the file at ``path``, or the folder with everything in it; do nothing if ``path`` is missing."""
        *folder_names, name = path.split(b"/")
        folder = self._root
        for folder_name in folder_names:
            if not folder.has_subfolder(folder_name):
                return
            folder = folder.open_subfolder(folder_name, self._load_tree)
        folder.remove(name)

    def write(self, write_tree: Callable[[bytes], str]) -> str:
        """Write each changed folder with ``write_tree``; return the object id of the whole tree.

        ``write_tree`` writes the bytes of a tree object and returns the object id.  Folders without files are left
        out, because git has no empty folders.
        """
        # A loop instead of recursion, because a path may have two thousand names.  The list grows during the loop,
        # and each folder comes before its subfolders.
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
    """A folder on the path of a changed file."""

    def __init__(self, body: bytes) -> None:
        """Begin with ``body``, the bytes of a tree object."""
        #: The mode and the object id of each entry by name, without the subfolders in ``opened``.
        self.entries = {name: (mode, oid) for mode, name, oid in _ENTRY.findall(body)}
        #: The subfolders on the path of a changed file, by name.
        self.opened: dict[bytes, _Folder] = {}

    def has_subfolder(self, name: bytes) -> bool:
        """Return True if the folder contains a subfolder ``name``."""
        return name in self.opened or self.entries.get(name, (b"",))[0] == _FOLDER_MODE

    def open_subfolder(self, name: bytes, load_tree: Callable[[str], bytes]) -> _Folder:
        """Return the subfolder ``name``, which is empty if it is new or replaces a file."""
        if name not in self.opened:
            mode, oid = self.entries.pop(name, (b"", b""))
            self.opened[name] = _Folder(load_tree(oid.hex()) if mode == _FOLDER_MODE else b"")
        return self.opened[name]

    def remove(self, name: bytes) -> None:
        """Remove the file or subfolder ``name``, if there is one."""
        self.entries.pop(name, None)
        self.opened.pop(name, None)

    def encode(self) -> bytes:
        """Return the bytes of the tree object; the opened subfolders have been added to the entries before."""
        ordered = sorted(self.entries.items(), key=_sort_key)
        return b"".join([b"%s %s\0%s" % (mode, name, oid) for name, (mode, oid) in ordered])


def _sort_key(entry: tuple[bytes, tuple[bytes, bytes]]) -> bytes:
    """Return the bytes by which git sorts an entry: the name, for a folder with a slash at the end."""
    name, (mode, _) = entry
    return name + b"/" if mode == _FOLDER_MODE else name
