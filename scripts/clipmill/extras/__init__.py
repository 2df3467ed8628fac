"""Beside the way: a language model in four bits."""
