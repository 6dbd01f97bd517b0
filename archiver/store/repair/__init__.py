"""Goes on after a loss: a journal that was cut or contradicts its refs, a repository restored from a backup.

Nothing is thrown away.  Files that do not belong to this journal are *set aside*, and the loss is listed until a
person *accepts* the loss, which is journalled.
"""
