"""Proof: what can be shown to somebody who trusts nobody's software."""
