"""Long runs of random work: commands of their own, of which the tests run a few seconds."""
