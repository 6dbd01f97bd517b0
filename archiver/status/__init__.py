"""Reports the state of the service for ``status``: its work, pending changes, and problems that need attention.

A *problem* makes ``status --check`` fail; everything else is information.  The *forecast* says when the archive's
disk will be full.
"""
