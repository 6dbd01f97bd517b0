"""Reading documents: what a material is, as far as it can be told."""
