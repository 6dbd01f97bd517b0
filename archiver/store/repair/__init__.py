"""Going on after a loss: a journal that was cut or contradicts its refs, a repository put back from a backup.

Nothing is thrown away.  What does not belong to this journal is *set aside*, and what was lost is listed until a
person *accepts* the loss, which is journalled.
"""
