"""clipmill: from raw videos to captioned training clips. Knows nothing of Snakemake.

The way of the data, a folder for each station, which has the name of what its rule and its tool do:

    inputs → decode → split → scores → filters → captions → alignment → cut → dataset → report

`fetch` lies between inputs and decode, for videos that are no files of their own; `shots` between decode and split, in
runs in which a network looks for the shots; `duplicates` between filters and captions, in runs that drop clips that are
alike or beyond a limit.

In a station, `shard.py` is the loop over a shard that the tool in `scripts/` calls. Beside the way lie `plan` (what a
run will cost), `extras` (a language model in four bits, an adapter for TinyChat), `demo` (rendered videos) and
`terminal` (what a person sees of a run). Below it lies the ground, which knows no video: `base`, `texts`, `shapes`,
`store`, `remote`, `models`, `chat`. `steps` lists the steps once. `pyproject.toml` says which folder may import which,
and a linter checks it; `docs/architecture.md` draws it.
"""

__version__ = "0.2.0"
