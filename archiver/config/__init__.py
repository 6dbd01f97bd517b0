"""The settings of ``archiver.toml``, validated before anything is opened.

A *setting* is one key of the file. The *table of settings* declares each of them once. *Settings* (``Config``) are
the checked values for the program, with absolute paths. A *document* is the parsed file, and its keys are compared
with the table. The *template* is the text of a new file. ``location`` searches for a file that the user did not
name, and ``owner`` decides by its ownership whether that file can be trusted.
"""
