"""A document archive and version manager for filing materials."""

__version__ = "0.2.0"
