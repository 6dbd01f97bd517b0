"""The inspection package: one folder that a stranger can check without this program."""
