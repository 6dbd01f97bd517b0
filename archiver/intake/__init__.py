"""From the watched folder into the store: watch, scan, settle, capture."""
