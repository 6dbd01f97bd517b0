"""The built-in ignore patterns: the names of files and folders that programs leave behind.  Data, one line each.

A line states the pattern (with a slash at the end, it matches only folders), the purpose of the file, the program
that creates it, and where that program states or shows the name.  Only names that no document has belong here: a
file with such a name is never archived, although ``archiver status`` lists it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from archiver.errors import LazyMessage

RECYCLE_BIN = LazyMessage("recycle bin")
SNAPSHOTS = LazyMessage("snapshots of the filesystem")
METADATA = LazyMessage("thumbnails or metadata")
LOCK = LazyMessage("lock file of an open document")
TEMPORARY = LazyMessage("temporary file")
INCOMPLETE = LazyMessage.define("incomplete transfer", code="litter.incomplete")
BACKUP = LazyMessage("automatic copy of an earlier state")
SYNC_DATA = LazyMessage("internal data of a sync client")


class Litter(NamedTuple):
    """A built-in ignore pattern."""

    pattern: str
    purpose: LazyMessage
    program: str
    source: str


#: In the order in which ``docs/ignored-names.md`` lists the patterns.
LITTER = (
    # --- storage servers and filesystems
    Litter("#recycle/", RECYCLE_BIN, "Synology DSM", "DSM: shared folder, Enable Recycle Bin"),
    Litter("@eaDir/", METADATA, "Synology DSM", "DSM: index of Universal Search and Photos"),
    Litter("#snapshot/", SNAPSHOTS, "Synology DSM", "DSM: Snapshot Replication, visible snapshots"),
    Litter("@tmp/", TEMPORARY, "Synology DSM", "DSM: folder of a volume"),
    Litter("@sharesnap/", SNAPSHOTS, "Synology DSM", "DSM: folder of a volume"),
    Litter("@SynoResource", METADATA, "Synology DSM", "DSM: resource forks in @eaDir"),
    Litter(".SynologyWorkingDirectory/", SYNC_DATA, "Synology Drive", "Synology Drive Client: sync folder"),
    Litter("@Recycle/", RECYCLE_BIN, "QNAP QTS", "QTS: Network Recycle Bin"),
    Litter("@Recently-Snapshot/", SNAPSHOTS, "QNAP QTS", "QTS: snapshot folder of a shared folder"),
    Litter(".@__thumb/", METADATA, "QNAP QTS", "QTS: thumbnails of File Station"),
    Litter(".streams/", METADATA, "Samba", "vfs_streams_depot(8)"),
    Litter(".recycle/", RECYCLE_BIN, "Samba", "vfs_recycle(8), default of recycle:repository"),
    Litter("@GMT-*/", SNAPSHOTS, "Samba", "vfs_shadow_copy2(8), default of shadow:format"),
    Litter(".smbdelete*", TEMPORARY, "SMB client of macOS", "deleted files that are still open"),
    Litter(".snapshot/", SNAPSHOTS, "NetApp ONTAP", "ONTAP: snapshot directory of NFS and SMB"),
    Litter("~snapshot/", SNAPSHOTS, "NetApp ONTAP", "ONTAP: snapshot directory of SMB"),
    Litter(".snapshots/", SNAPSHOTS, "snapper (btrfs)", "snapper(8)"),
    Litter(".zfs/", SNAPSHOTS, "ZFS", "zfsprops(7), snapdir"),
    Litter("lost+found/", METADATA, "ext4", "e2fsck(8)"),
    Litter(".nfs????????*", TEMPORARY, "NFS client", "Linux fs/nfs/unlink.c: deleted files that are still open"),
    Litter(".fuse_hidden????????*", TEMPORARY, "FUSE", "fuse(8), hard_remove"),
    # --- Windows
    Litter("$RECYCLE.BIN/", RECYCLE_BIN, "Windows", "root folder of each volume"),
    Litter("RECYCLER/", RECYCLE_BIN, "Windows", "root folder of each volume, until Windows XP"),
    Litter("System Volume Information/", METADATA, "Windows", "root folder of each volume"),
    Litter("Thumbs.db", METADATA, "Windows", "Explorer: thumbnails"),
    Litter("ehthumbs.db", METADATA, "Windows", "Media Center: thumbnails"),
    Litter("ehthumbs_vista.db", METADATA, "Windows", "Media Center: thumbnails"),
    Litter("desktop.ini", METADATA, "Windows", "Explorer: folder settings"),
    # --- macOS
    Litter(".DS_Store", METADATA, "macOS", "Finder: folder settings"),
    Litter("._*", METADATA, "macOS", "AppleDouble (RFC 1740), vfs_fruit(8)"),
    Litter(".AppleDouble/", METADATA, "Netatalk", "afp.conf(5), appledouble"),
    Litter(".AppleDB/", METADATA, "Netatalk", "database of file identifiers"),
    Litter(".AppleDesktop/", METADATA, "Netatalk", "desktop database"),
    Litter("Network Trash Folder/", RECYCLE_BIN, "Netatalk", "recycle bin of AFP"),
    Litter("Temporary Items/", TEMPORARY, "Netatalk", "temporary files of AFP"),
    Litter(".TemporaryItems/", TEMPORARY, "macOS", "root folder of each volume"),
    Litter(".Trashes/", RECYCLE_BIN, "macOS", "root folder of each volume"),
    Litter(".Spotlight-V100/", METADATA, "macOS", "root folder of each volume"),
    Litter(".fseventsd/", METADATA, "macOS", "root folder of each volume"),
    Litter(".DocumentRevisions-V100/", BACKUP, "macOS", "root folder of each volume"),
    Litter(".apdisk", METADATA, "macOS", "root folder of a share"),
    Litter(".VolumeIcon.icns", METADATA, "macOS", "root folder of each volume"),
    Litter("*.sb-????????-??????", TEMPORARY, "Word for Mac", "macOS: safe saving in the sandbox"),
    # --- Linux desktops and editors
    Litter(".Trash/", RECYCLE_BIN, "Linux", "freedesktop.org Trash specification"),
    Litter(".Trash-*/", RECYCLE_BIN, "Linux", "freedesktop.org Trash specification"),
    Litter(".goutputstream-??????", TEMPORARY, "GNOME", "GLib: replacing a file"),
    Litter("*.swp", TEMPORARY, "Vim", ":help swap-file"),
    Litter("*.swo", TEMPORARY, "Vim", ":help swap-file"),
    Litter(".*.swx", TEMPORARY, "Vim", "src/memline.c: test of the swap file"),
    Litter("*.kate-swp", TEMPORARY, "Kate", "Kate handbook: swap files"),
    Litter("*~", BACKUP, "Vim, Emacs, gedit", ":help backup"),
    Litter(".#*", LOCK, "Emacs", "Emacs manual: interlocking"),
    Litter("#*#", TEMPORARY, "Emacs", "Emacs manual: auto-save files"),
    # --- office programs
    Litter("~$*", LOCK, "Microsoft Office, WPS Office", "Office: owner file"),
    Litter("~WR[ADL]*.tmp", TEMPORARY, "Word", "Word: temporary files when saving"),
    Litter("~WPS*.tmp", TEMPORARY, "WPS Office", "WPS: temporary files when saving"),
    Litter("ppt*.tmp", TEMPORARY, "PowerPoint", "PowerPoint: temporary files when saving"),
    Litter("~DF*.tmp", TEMPORARY, "Microsoft Office", "OLE: temporary compound file"),
    Litter("*.wbk", BACKUP, "Word, WPS Office", "option: always create a backup copy"),
    Litter("*.xlk", BACKUP, "Excel, WPS Office", "option: always create a backup copy"),
    Litter(".~*", LOCK, "WPS Office for Linux", "WPS: lock file of an open document"),
    Litter(".~lock*", LOCK, "LibreOffice", "svl: LockFileCommon"),
    Litter("lu*.tmp", TEMPORARY, "LibreOffice", "unotools: temporary file names"),
    # --- sync clients
    Litter(".stfolder", SYNC_DATA, "Syncthing", "Syncthing: marker of a shared folder"),
    Litter(".stversions/", BACKUP, "Syncthing", "syncthing-versioning(7)"),
    Litter(".stignore", SYNC_DATA, "Syncthing", "syncthing-stignore(5)"),
    Litter(".syncthing.*", INCOMPLETE, "Syncthing", "lib/fs/tempname.go"),
    Litter("~syncthing~*", INCOMPLETE, "Syncthing", "lib/fs/tempname.go"),
    Litter(".*.~*", INCOMPLETE, "Nextcloud, ownCloud", "desktop client: download file names"),
    Litter(".sync_*.db*", SYNC_DATA, "Nextcloud, ownCloud", "desktop client: sync journal"),
    Litter("._sync_*.db*", SYNC_DATA, "Nextcloud, ownCloud", "desktop client: sync journal"),
    Litter(".owncloudsync.log*", SYNC_DATA, "Nextcloud, ownCloud", "desktop client: log of a folder"),
    Litter(".csync_journal.db*", SYNC_DATA, "Nextcloud, ownCloud", "desktop client: sync journal"),
    Litter(".dropbox", SYNC_DATA, "Dropbox", "Dropbox: marker of a folder"),
    Litter(".dropbox.attr", SYNC_DATA, "Dropbox", "Dropbox: attributes of a folder"),
    Litter(".dropbox.cache/", SYNC_DATA, "Dropbox", "Dropbox: deleted and incomplete files"),
    Litter(".tmp.drivedownload/", INCOMPLETE, "Google Drive", "Drive for desktop: staging folder"),
    Litter(".tmp.driveupload/", INCOMPLETE, "Google Drive", "Drive for desktop: staging folder"),
    Litter("*.!sync", INCOMPLETE, "Resilio Sync", "Resilio: download file names"),
    Litter(".sync/", SYNC_DATA, "Resilio Sync", "Resilio: archive and settings of a folder"),
    Litter(".qsync/", SYNC_DATA, "QNAP Qsync", "Qsync Client: sync folder"),
    Litter(".qsync_sn/", SYNC_DATA, "QNAP Qsync", "Qsync Client: sync folder"),
    # --- copying and downloading
    Litter(".~tmp~/", INCOMPLETE, "rsync", "rsync(1), --delay-updates"),
    Litter(".rsync-partial/", INCOMPLETE, "rsync", "rsync(1), example of --partial-dir"),
    Litter(".rsync-tmp/", INCOMPLETE, "rsync", "rsync(1), example of --partial-dir"),
    Litter(".rsync-backup/", BACKUP, "rsync", "common name for --backup-dir"),
    Litter("*.crdownload", INCOMPLETE, "Chrome, Edge", "Chromium: download file names"),
    Litter("*.part", INCOMPLETE, "Firefox, KDE", "download file names"),
    Litter("*.partial", INCOMPLETE, "Internet Explorer, rclone", "download file names; rclone: --partial-suffix"),
    Litter("*.download", INCOMPLETE, "Safari", "Safari: download packages"),
    Litter("*.filepart", INCOMPLETE, "WinSCP", "WinSCP: transfer to temporary file name"),
    Litter("*.p.downloading", INCOMPLETE, "Baidu Netdisk", "Baidu Netdisk: download file names"),
    Litter("*.xltd", INCOMPLETE, "Xunlei", "Xunlei: download file names"),
)

#: Pattern -> its line.
LITTER_BY_PATTERN: Mapping[str, Litter] = {litter.pattern: litter for litter in LITTER}
