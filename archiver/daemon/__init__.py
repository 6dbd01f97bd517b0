"""The service: wires the watched folder to the archive, for as long as the machine runs."""
