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
            metric=("motion", "technical", *verdict.COSTLY),
        ),
    output:
        verdicts=f"{WORK}/verdicts/{{shard}}.parquet",
    log:
        f"{OUT}/logs/filter/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/filter/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    resources:
        mem_mb=job("instant", "mem_mb"),
        runtime=job("instant", "runtime"),
    params:
        settings=as_json(bounds(config["filter_order"])),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/filter.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --videos {input.videos:q} \
            --clips {input.clips:q} \
            --scores {input.scores:q} \
            --output {output.verdicts:q} \
            >{log:q} 2>&1
        """
