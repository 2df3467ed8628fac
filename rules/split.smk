"""
in:  work/videos/<shard>.parquet, work/parts/<shard>.parquet, and the signals of its videos and of their sound; work/shots/<shard>.parquet
     if a network wrote it; work/index/given/<shard>.parquet if the sheet gives the scenes
out: work/transitions/<shard>.parquet, work/clips/<shard>.parquet, and the scores that need no frames:
     work/scores/motion/, work/scores/camera/, work/scores/technical/, work/scores/sound/
"""

# Of the network's settings, only those of this step: its own step depends on the others. If clips have exact numbers of
# frames, splitting finds them, so that scores and captions are of the frames that the files will have.
SPLIT_SETTINGS = {
    **config["split"],
    "crop": config["crop"],
    "deinterlace": config["decode"]["deinterlace"],
    "transnetv2": {"threshold": config["split"]["transnetv2"]["threshold"]},
    "sound": SOUND,
    "frames": config["cut"]["frames"],
    "fps": config["cut"]["fps"] if config["cut"]["frames"] is not None else None,
}


rule split_videos:
    """Split the videos of a shard into clips; measure motion, technical quality and sound from the signals."""
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        parts=f"{WORK}/parts/{{shard}}.parquet",
        shots=f"{WORK}/shots/{{shard}}.parquet" if BY_NETWORK else [],
        given=f"{WORK}/index/given/{{shard}}.parquet" if SCENES_GIVEN else [],
    output:
        transitions=f"{WORK}/transitions/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        motion=f"{WORK}/scores/motion/{{shard}}.parquet",
        camera=f"{WORK}/scores/camera/{{shard}}.parquet",
        technical=f"{WORK}/scores/technical/{{shard}}.parquet",
        sound=f"{WORK}/scores/sound/{{shard}}.parquet",
    log:
        f"{OUT}/logs/split/{{shard}}.log",
    priority: priority_of("split")
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("instant", "mem_mb"),
        runtime=resource("instant", "runtime"),
    params:
        settings=lambda wildcards: as_json(SPLIT_SETTINGS),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/split.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --videos {input.videos:q} \
            --parts {input.parts:q} \
            --shots {input.shots:q} \
            --transitions {output.transitions:q} \
            --clips {output.clips:q} \
            --motion {output.motion:q} \
            --camera {output.camera:q} \
            --technical {output.technical:q} \
            --sound {output.sound:q} \
            >{log:q} 2>&1
        """
