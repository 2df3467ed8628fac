"""clipmill: from raw videos to captioned training clips. Knows nothing of Snakemake."""

__version__ = "0.1.0"
