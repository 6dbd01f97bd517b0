"""The settings of ``archiver.toml``, validated before anything is opened.

A *setting* is one key of the file; the *table of settings* declares them all, each once.  *Settings* (``Config``)
are the values for the program: each checked, paths absolute.  A *document* is the parsed file, whose keys
are compared with the table.  The *template* is the text of a new file.  The *owner* of a file that nobody named
decides on trust in the file (``location`` names the folders to search).
"""
