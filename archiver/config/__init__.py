"""The settings: what an admin writes into ``archiver.toml``, validated before anything is opened.

A *document* is the parsed file, whose tables and keys are known by name.  *Settings* (``Config``) are what the
program works with: each value checked, paths absolute.  The *template* is the text of a new file.  The *owner*
of a file that nobody named decides whether it may be obeyed (``location`` says where it is looked for).
"""
