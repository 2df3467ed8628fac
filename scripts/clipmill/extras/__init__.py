"""Beside the way of the data: quantizes a language model to four bits, and makes TinyChat a server like others."""
