"""The bare git repository of an archive: commands, the stream of incoming objects, and guards.

A *ref* is one in git's sense: a tag for each version, a branch for each submission, and the branch ``journal``.
*Hooks* and settings are guard rails against accidents, and are compared with the expected text before git runs.
No other package starts git.
"""
