"""Examines the folder of a submission before a version is signed, so that nothing is missing or hidden."""
