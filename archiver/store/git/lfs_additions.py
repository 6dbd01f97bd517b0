"""Define the settings and hooks that stock git-lfs adds, unasked, to any repository in which it runs.

It is enough that a reader runs ``git lfs fsck``.  The additions do not make our own git run any program: none of
our commands applies filters, commits, merges or checks out files.
"""

from __future__ import annotations

#: The texts that git-lfs appends to ``config``: a section, or a line if ``lfs`` is the last section.
SETTINGS = (b"[lfs]\n\trepositoryformatversion = 0\n", b"\trepositoryformatversion = 0\n")
_HOOKS = ("post-checkout", "post-commit", "post-merge", "pre-push")
_ABSENT = "This repository is configured for Git LFS but 'git-lfs' was not found on your path. "
_REMOVE = "If you no longer wish to use Git LFS, remove this hook by deleting "
_FOLDER = "the '{0}' file in the hooks directory (set by 'core.hookspath'; usually '.git/hooks')."
_CHECK = "#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || {{ "
_CALL = ' }}\ngit lfs {0} "$@"\n'
#: The texts of the hooks (lfs/hook.go) in the releases of git-lfs, newest first; ``{0}`` is the name of the hook.
_TEXTS = (
    _CHECK + rf'printf >&2 "\n%s\n\n" "{_ABSENT}{_REMOVE}{_FOLDER}"; exit 2;' + _CALL,
    _CHECK + rf'echo >&2 "\n{_ABSENT}{_REMOVE}{_FOLDER}\n"; exit 2;' + _CALL,
    _CHECK + rf"""echo >&2 "\n{_ABSENT}{_REMOVE}'.git/hooks/{{0}}'.\n"; exit 2;""" + _CALL,
    _CHECK + rf'echo >&2 "\n{_ABSENT}{_REMOVE}.git/hooks/{{0}}.\n"; exit 2;' + _CALL,
)
#: Further texts of ``pre-push``, which existed before the other hooks.
_MISSING = "This repository has been set up with Git LFS but Git LFS is not installed."
_OLD_PUSH = (
    _CHECK + rf'echo >&2 "\n{_MISSING}\n"; exit 2;' + _CALL,
    _CHECK + rf'echo >&2 "\n{_MISSING}\n"; exit 0;' + _CALL,
    '#!/bin/sh\ngit lfs pre-push "$@"\n',
    '#!/bin/sh\ngit lfs push --stdin "$@"\n',
    "#!/bin/sh\ngit lfs push --stdin $*\n",
)


def hook_texts(hook: str) -> set[bytes]:
    """Return the texts of a hook in all releases of git-lfs; an empty set if git-lfs has no hook of this name."""
    if hook not in _HOOKS:
        return set()
    templates = (*_TEXTS, *_OLD_PUSH) if hook == "pre-push" else _TEXTS
    return {template.format(hook).encode("ascii") for template in templates}
