"""Station 5: scores become verdicts."""
