"""
in:  work/videos/, work/clips/ and all scores of a shard
out: work/verdicts/<shard>.parquet; before it, from all shards, work/thresholds/<stage>.json if thresholds are quantiles
"""


rule resolve_thresholds:
    """Find the values of the thresholds that are quantiles, over all clips of the run that came to this stage."""
    input:
        tables=quantile_tables,
        removed=f"{WORK}/index/removed.jsonl",
    output:
        thresholds=report(
            f"{WORK}/thresholds/{{stage}}.json",
            caption="report_texts/thresholds.rst",
            category="Thresholds",
        ),
    log:
        f"{OUT}/logs/thresholds/{{stage}}.log",
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("export", "mem_mb"),
        runtime=resource("export", "runtime"),
    params:
        quantiles=lambda wildcards: as_json(stage_quantiles(wildcards.stage)),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/resolve_thresholds.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --quantiles {params.quantiles:q} \
            --output {output.thresholds:q} \
            >{log:q} 2>&1
        """


rule filter_clips:
    """Give each clip of a shard its verdict."""
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=expand(
            f"{WORK}/scores/{{metric}}/{{{{shard}}}}.parquet",
            metric=(*MEASURED, *METRICS),
        ),
        thresholds=resolved("filter"),
    output:
        verdicts=f"{WORK}/verdicts/{{shard}}.parquet",
    log:
        f"{OUT}/logs/filter/{{shard}}.log",
    priority: priority_of("filter")
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("instant", "mem_mb"),
        runtime=resource("instant", "runtime"),
    params:
        settings=lambda wildcards: as_json(verdict_settings()),
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
