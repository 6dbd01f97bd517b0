"""The command line: parse arguments, call the rooms below, print results; no rules."""
