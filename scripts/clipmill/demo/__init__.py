"""Beside the way of the data: renders the demo's videos."""
