"""Beside the way of the data: quantizes a language model to four bits."""
