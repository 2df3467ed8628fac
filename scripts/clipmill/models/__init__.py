"""Which models there are, their files, and the GPUs that they run on."""
