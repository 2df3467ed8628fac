"""How much of a clip's frames is text."""
