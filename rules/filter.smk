"""
in:  work/videos/, work/clips/ and all scores of a shard
out: work/verdicts/<shard>.parquet
"""


rule filter_clips:
    """Give each clip of a shard its verdict."""
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=expand(
            f"{WORK}/scores/{{metric}}/{{{{shard}}}}.parquet",
            metric=(*MEASURED, *COSTLY),
        ),
        thresholds=resolved("filter"),
    output:
        verdicts=f"{WORK}/verdicts/{{shard}}.parquet",
    log:
        f"{OUT}/logs/filter/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/filter/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    resources:
        mem_mb=resource("instant", "mem_mb"),
        runtime=resource("instant", "runtime"),
    params:
        settings=lambda wildcards: as_json(filter_settings(FILTER_ORDER)),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/filter.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --videos {input.videos:q} \
            --clips {input.clips:q} \
            --scores {input.scores:q} \
            --thresholds {input.thresholds:q} \
            --output {output.verdicts:q} \
            >{log:q} 2>&1
        """
