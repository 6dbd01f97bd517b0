"""Reads documents: the type of a material, its text and page count, and signs of damage.

Only a *document worker*, a process with limits on memory and time, parses foreign bytes.  *Integrity* is a check
at capture that looks at the first and last bytes alone, and notes whether a material seems damaged.
"""
