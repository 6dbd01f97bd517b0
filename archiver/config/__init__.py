"""The settings that an admin writes into ``archiver.toml``, validated before anything is opened.

A *setting* is one key of the file; the *table of settings* declares them all, each once.  *Settings* (``Config``)
are what the program works with: each value checked, paths absolute.  A *document* is the parsed file, whose keys
are compared with the table.  The *template* is the text of a new file.  The *owner* of a file that nobody named
decides whether it may be obeyed (``location`` says where it is looked for).
"""
