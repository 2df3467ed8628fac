"""Station 8: kept clips become files."""
