"""The service: keeps the archive complete with the watched folder, for as long as the machine runs.

The *service* opens the archive, and runs one *daemon* after another: a loop that captures from one folder into one
archive, one *turn* after another.  *Side jobs* run on a thread of their own, and their failures do not stop the
loop.  *Refusals* are attempts that a git hook or the socket refused.
"""
