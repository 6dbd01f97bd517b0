"""How an archive comes into being: new, or from a mirror clone of another one (*adoption*).

An archive exists either completely or not at all.  The abilities of its filesystem are tested first.
"""
