"""Models: the backends of each step, their model files, and the GPUs that they run on."""
