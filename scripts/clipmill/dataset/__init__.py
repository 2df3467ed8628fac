"""Station 9: all that is known of the kept clips becomes the dataset folder."""
