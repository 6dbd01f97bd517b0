"""Decides when changed paths are captured: once they have settled, and round by round."""
