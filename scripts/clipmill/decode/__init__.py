"""Station 2: videos become facts, signals and kept frames."""
