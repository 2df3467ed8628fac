"""Texts as such: checks of captions, sentences, prompts."""
