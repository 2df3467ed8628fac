"""
in:  the index of videos, and what the run has finished so far
out: nothing but its log: it says on the terminal what is to come
"""


rule plan:
    """Say what a run will do and cost, before it runs: `snakemake plan`. There is no output, so it always does."""
    input:
        needed=needs("videos"),
    log:
        f"{OUT}/logs/plan/plan.log",
    localrule: True
    conda:
        "../envs/video.yaml"
    params:
        settings=plan_settings,
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/plan.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --settings {params.settings:q} \
            2>{log:q}
        """
