"""Reports the state of the service for ``status``: the work, pending changes, and problems needing attention.

A *problem* makes ``status --check`` fail. Everything else is information. The *forecast* tells when the archive's
disk will be full.
"""
