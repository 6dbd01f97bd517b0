"""Continues an archive after a loss: its journal was cut or contradicts the refs, or an old backup was restored.

Nothing is deleted before a person has decided.  Files that do not belong to this journal are *set aside*, and the
loss is listed until a person *accepts* it, which is journalled.
"""
