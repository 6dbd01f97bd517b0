"""The service: keeps the archive complete with the watched folder, for as long as the machine runs.

The *service* opens and reopens; the *capture loop* is one archive and one folder, turn by turn.  *Jobs* are done
beside it and fail alone.  *Refusals* are attempts that a hook or the socket turned away.
"""
