"""Beside the way: videos for the demo, rendered."""
