"""The repository's settings and hooks: what they must be, byte for byte.

They are guard rails against accidents.  Whoever owns the files can pass them;
the journal is what proves (docs/design.md, section 8).
"""

from __future__ import annotations

#: Written as a whole, and compared as a whole by ``verify``.
CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tfsync = all
\tfsyncMethod = fsync
\tlogAllRefUpdates = always
\tprotectHFS = true
\tprotectNTFS = true
[extensions]
\tpreciousObjects = true
[gc]
\tauto = 0
\tpruneExpire = never
\treflogExpire = never
\treflogExpireUnreachable = never
[maintenance]
\tauto = false
[receive]
\tdenyDeletes = true
\tdenyNonFastForwards = true
\tautogc = false
[transfer]
\tfsckObjects = true
"""

HEAD = "ref: refs/heads/journal\n"

_REFERENCE_TRANSACTION = """\
#!/bin/sh
# archiver: refuses to delete or move back what is archived.
# Deleting (new is zero) is allowed only to "git pack-refs", which removes a loose
# ref whose very value stands in packed-refs, without holding packed-refs.lock.
[ "$1" = prepared ] || exit 0
zero=0000000000000000000000000000000000000000
dir=${GIT_DIR:-.}
refuse() {
    echo "archiver: $1 of $2 is refused: archived materials are kept. Nothing was changed." >&2
    printf '%s\\t%s\\t%s\\n' "$1" "$2" "$(id -u)" >> "$dir/../spool/refused" 2>/dev/null
    exit 1
}
while read -r old new ref; do
    case $ref in
    refs/heads/*|refs/tags/*) ;;
    *) continue ;;
    esac
    if [ "$new" = "$zero" ]; then
        if [ "$old" != "$zero" ] && [ ! -e "$dir/packed-refs.lock" ] &&
            grep -qxF "$old $ref" "$dir/packed-refs" 2>/dev/null; then
            continue
        fi
        refuse deletion "$ref"
    fi
    # An old value that is given was checked by git; without one git passes zero,
    # and the value now in place decides.
    now=$old
    [ "$old" != "$zero" ] || now=$(git rev-parse --verify -q "$ref") || continue
    [ "$now" = "$new" ] && continue
    case $ref in
    refs/tags/*) refuse move "$ref" ;;
    esac
    git merge-base --is-ancestor "$now" "$new" || refuse rewinding "$ref"
done
exit 0
"""

_PRE_RECEIVE = """\
#!/bin/sh
# archiver: the archive is written by its own program only.
echo "archiver: pushes into the archive are refused. Nothing was changed." >&2
exit 1
"""

#: Hook name -> its text; each is executable.
HOOKS = {"reference-transaction": _REFERENCE_TRANSACTION, "pre-receive": _PRE_RECEIVE}
