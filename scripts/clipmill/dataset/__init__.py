"""Station 9: all that is known about the kept clips becomes the dataset folder."""
