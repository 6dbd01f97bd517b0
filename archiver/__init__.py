"""A document archive and version manager for filing materials."""

__version__ = "0.1.0"
