"""The bare git repository of an archive: its commands, the stream of objects into it, and its guards.

A *ref* is one in git's sense: a tag for each version, a branch for each submission, and the branch ``journal``.
*Hooks* and settings are guard rails against accidents, and are compared with the expected text before git runs.
No other package starts git.
"""
