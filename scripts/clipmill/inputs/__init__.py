"""Station 1: a folder or a sheet of videos becomes the index."""
