"""Checks an archive on its own reading of the files."""
