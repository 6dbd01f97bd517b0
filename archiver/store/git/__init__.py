"""The bare git repository: commands, the stream of objects into it, and what guards it.

A *ref* is what git calls one: a tag for each version, a branch for each submission, the branch ``journal``.
*Hooks* and settings are guard rails against accidents, and are compared before git runs.  No other room starts
git.
"""
