"""Frame counts, frame rates and sizes as trainers want them. Knows numbers only, no files and no config."""
