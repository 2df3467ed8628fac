"""
in:  work/clips/, the signals and kept frames of a shard, or the embeddings that scoring kept; then all verdicts
out: work/fingerprints/<shard>.parquet; work/duplicates.parquet. Each rule is there only if the config asks for it
"""

from clipmill.duplicates.version import with_version

# The steps of this run: fingerprints are compared, and duplicates or clips beyond a limit are dropped.
WITH_FINGERPRINTS = config["duplicates"]["backend"] != "none"
DROP_SETTINGS = {name: config[name] for name in ("duplicates", "limits")}
WITH_DROPS = WITH_FINGERPRINTS or config["limits"]["per_video"] is not None
DUPLICATE_STEPS = [
    name
    for name, wanted in {
        "fingerprints": WITH_FINGERPRINTS,
        "duplicates": WITH_DROPS,
    }.items()
    if wanted
]
# What the later steps read to know which clips are dropped here.
DUPLICATES = [f"{WORK}/duplicates.parquet"] if WITH_DROPS else []


if WITH_FINGERPRINTS:

    rule fingerprint_clips:
        """Make the fingerprints of the clips of a shard, by which duplicates are found."""
        input:
            clips=f"{WORK}/clips/{{shard}}.parquet",
            scores=(
                f"{WORK}/scores/consistency/{{shard}}.parquet"
                if config["duplicates"]["backend"] == "embeddings"
                else []
            ),
        output:
            fingerprints=f"{WORK}/fingerprints/{{shard}}.parquet",
        log:
            f"{OUT}/logs/fingerprints/{{shard}}.log",
        priority: priority_of("fingerprints")
        conda:
            "../envs/video.yaml"
        container:
            lambda wildcards: image("video")
        resources:
            mem_mb=resource("instant", "mem_mb"),
            runtime=resource("instant", "runtime"),
        params:
            # Everything that a fingerprint depends on.
            settings=lambda wildcards: as_json(
                with_version(
                    {
                        "backend": config["duplicates"]["backend"],
                        **(
                            {"model": backend_settings("consistency")}
                            if config["duplicates"]["backend"] == "embeddings"
                            else {}
                        ),
                    }
                )
            ),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/fingerprint.py \
                --outdir "$CLIPMILL_OUTDIR" \
                --shard {wildcards.shard} \
                --settings {params.settings:q} \
                --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
                --clips {input.clips:q} \
                --output {output.fingerprints:q} \
                >{log:q} 2>&1
            """


if WITH_DROPS:

    rule find_duplicates:
        """Find the clips of the run that are alike, and choose which of them stay, within the limits."""
        input:
            fingerprints=expand(
                f"{WORK}/fingerprints/{{shard}}.parquet",
                shard=SHARDS if WITH_FINGERPRINTS else [],
            ),
            verdicts=expand(f"{WORK}/verdicts/{{shard}}.parquet", shard=SHARDS),
            removed=f"{WORK}/index/removed.jsonl",
        output:
            duplicates=f"{WORK}/duplicates.parquet",
        log:
            f"{OUT}/logs/duplicates/all.log",
        priority: priority_of("duplicates")
        conda:
            "../envs/video.yaml"
        container:
            lambda wildcards: image("video")
        threads: threads_of("duplicates")
        resources:
            mem_mb=resource("duplicates", "mem_mb"),
            runtime=resource("duplicates", "runtime"),
        params:
            settings=lambda wildcards: as_json(DROP_SETTINGS),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/find_duplicates.py \
                --outdir "$CLIPMILL_OUTDIR" \
                --settings {params.settings:q} \
                --threads {threads} \
                --output {output.duplicates:q} \
                >{log:q} 2>&1
            """
