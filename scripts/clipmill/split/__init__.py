"""Station 3: signals become clips, and the scores that need no frames."""
