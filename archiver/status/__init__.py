"""What ``status`` tells: whether the service does its work, what waits, and what needs somebody's attention.

A *problem* makes ``status --check`` fail; everything else is information.  The *forecast* says when the archive's
disk will be full.
"""
