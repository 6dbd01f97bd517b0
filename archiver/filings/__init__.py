"""The life of a filing: submissions, kinds, numbers."""
