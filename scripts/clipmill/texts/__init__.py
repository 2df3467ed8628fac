"""Functions for texts: checks of captions, sentences, prompts."""
