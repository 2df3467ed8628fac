"""
in:  the videos, work/clips/ and the texts and alignment scores of a shard; a person's texts, if there are any
out: work/cuts/<shard>.parquet; beside it, undeclared, work/clip_files/<shard>/<video>/<clip>.mp4
"""

# The settings that the cutting of a clip depends on.
CUT_SETTINGS = {
    **config["cut"],
    "min_seconds": config["split"]["min_seconds"],
    # Scenes that the sheet gives are cut frame-exact.
    **({"min_seconds": 0, "max_trim_seconds": 0} if SCENES_GIVEN else {}),
    "deinterlace": config["decode"]["deinterlace"],
    "resolutions": (
        config["export"]["buckets"]["resolutions"]
        if config["cut"]["size"] == "bucket"
        else None
    ),
    "tone_map": config["decode"]["tone_map"],
}


rule cut_clips:
    """Cut the clips of a shard that every filter kept, and check each file."""
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        parts=f"{WORK}/parts/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        texts=texts_of_shard,
        alignment=f"{WORK}/scores/alignment/{{shard}}.parquet",
        thresholds=resolved("late"),
    output:
        cuts=f"{WORK}/cuts/{{shard}}.parquet",
    log:
        f"{OUT}/logs/cut/{{shard}}.log",
    priority: priority_of("cut")
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    threads: threads_of("cut")
    resources:
        mem_mb=resource("cut", "mem_mb"),
        runtime=resource("cut", "runtime"),
    params:
        settings=lambda wildcards: as_json(CUT_SETTINGS),
        late=lambda wildcards: as_json(
            last_verdict_settings() | texts_of_person(wildcards.shard)
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/cut.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --late {params.late:q} \
            --threads {threads} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            --videos {input.videos:q} \
            --parts {input.parts:q} \
            --clips {input.clips:q} \
            --texts {input.texts:q} \
            --alignment {input.alignment:q} \
            --thresholds {input.thresholds:q} \
            --output {output.cuts:q} \
            >{log:q} 2>&1
        """
