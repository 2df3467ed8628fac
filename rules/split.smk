"""
in:  work/videos/<shard>.parquet, and the signals of its videos
out: work/clips/<shard>.parquet, and the scores that need no frames: work/scores/motion/, work/scores/technical/
"""


rule split_videos:
    """Split the videos of a shard into clips; measure motion and technical quality from the signals."""
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
    output:
        clips=f"{WORK}/clips/{{shard}}.parquet",
        motion=f"{WORK}/scores/motion/{{shard}}.parquet",
        technical=f"{WORK}/scores/technical/{{shard}}.parquet",
    log:
        f"{OUT}/logs/split/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/split/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    resources:
        mem_mb=resource("instant", "mem_mb"),
        runtime=resource("instant", "runtime"),
    params:
        settings=lambda wildcards: as_json(config["split"]),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/split.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --videos {input.videos:q} \
            --clips {output.clips:q} \
            --motion {output.motion:q} \
            --technical {output.technical:q} \
            >{log:q} 2>&1
        """
