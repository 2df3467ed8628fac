"""Beside the way: what a run will do and cost."""
