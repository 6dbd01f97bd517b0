"""The off-site copy: a bucket that keeps what it is given until a date, whoever asks it to delete.

What must lie there is *desired*, what is believed to lie there is *known*; a *sync* makes them equal.  History
goes as git *bundles*, each for a *span* of events.  A *probe* tries whether the bucket locks.
"""
