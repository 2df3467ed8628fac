"""
in:  the output folder of a finished run
out: its log alone, and review.jsonl, to which the page in the browser adds decisions. The address goes to the terminal
"""


rule browse:
    """Serve the output folder to the browsers of this machine, until Ctrl-C: `snakemake browse`."""
    log:
        f"{OUT}/logs/browse/browse.log",
    localrule: True
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        # Settings of the command that change no result: a run beside it re-runs nothing for them.
        port=config["browse"]["port"],
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/browse.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --port {resources.port} \
            2>{log:q}
        """
