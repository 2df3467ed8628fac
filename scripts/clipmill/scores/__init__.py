"""Scores of clips. Those from signals cost nothing; those from frames each have backends."""
