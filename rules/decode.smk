"""
in:  work/index/shards/<shard>.jsonl, and the videos that it names; work/fetch/ of a shard that has a job of fetching
out: work/videos/<shard>.parquet, work/parts/<shard>.parquet; beside them, undeclared, one file per video in
     work/signals/ and in work/frames/, in work/miniatures/ if a network looks for the shots, and in work/sound/ if sound is
     measured
"""

# What decoding makes beside the rest, and whether it is wanted: see clipmill.decode.video.EXTRAS.
EXTRAS = {
    "miniatures": BY_NETWORK,
    "motion_easyanimate": "motion_easyanimate" in WITH_BOUND,
    "sound": SOUND,
    "speech": SPEECH,
    "large_frames": config["crop"]["overlays"],
}
DECODE_SETTINGS = {
    **config["decode"],
    **{name: True for name, wanted in EXTRAS.items() if wanted},
}


rule decode_videos:
    """Decode each video of a shard: the only time that all its pixels are read."""
    input:
        videos=f"{WORK}/index/shards/{{shard}}.jsonl",
        check=checked("speech") if SPEECH else [],
        fetched=fetched,
    output:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        parts=f"{WORK}/parts/{{shard}}.parquet",
    log:
        f"{OUT}/logs/decode/{{shard}}.log",
    priority: priority_of("decode")
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    threads: threads_of("decode")
    resources:
        mem_mb=resource("decode", "mem_mb"),
        runtime=resource("decode", "runtime"),
    params:
        settings=lambda wildcards: as_json(DECODE_SETTINGS),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/decode.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --threads {threads} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            --videos {input.videos:q} \
            --fetched {input.fetched:q} \
            --output {output.videos:q} \
            --parts {output.parts:q} \
            >{log:q} 2>&1
        """
