"""How an archive comes into being: new, or from a mirror clone of another one (*adoption*).

It is whole at its place or not there; what its filesystem has to be able to do is tried first.
"""
