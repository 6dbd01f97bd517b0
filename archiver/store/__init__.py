"""Where everything is kept: content objects, the git repository, journal and index."""
