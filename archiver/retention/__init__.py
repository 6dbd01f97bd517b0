"""How long everything is kept, why, and the refusal of anything earlier."""
