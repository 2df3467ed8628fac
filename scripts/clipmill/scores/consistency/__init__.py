"""How alike neighbouring frames of a clip are."""
