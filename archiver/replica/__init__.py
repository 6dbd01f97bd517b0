"""The off-site copy: a bucket that keeps what it is given until a date, whoever asks it to delete."""
