"""
in:  all tables of all shards, by way of the last ones; the lists of removed videos and of unusable entries
out: dataset/, verdicts.parquet, errors.csv, summary.json, models.json
"""


rule export_dataset:
    """Put the dataset together, with the verdicts, the errors and the summary."""
    input:
        needed=needs("videos"),
        cuts=expand(f"{WORK}/cuts/{{shard}}.parquet", shard=SHARDS),
        checks=CHECKS,
        removed=f"{WORK}/index/removed.jsonl",
        problems=f"{WORK}/index/problems.jsonl",
    output:
        train=f"{OUT}/dataset/train.json",
        metadata=f"{OUT}/dataset/metadata.parquet",
        jsonl=f"{OUT}/dataset/metadata.jsonl",
        verdicts=f"{OUT}/verdicts.parquet",
        errors=f"{OUT}/errors.csv",
        summary=f"{OUT}/summary.json",
        models=f"{OUT}/models.json",
    log:
        f"{OUT}/logs/export/export.log",
    benchmark:
        f"{OUT}/benchmarks/export/export.tsv"
    conda:
        "../envs/video.yaml"
    resources:
        mem_mb=job("export", "mem_mb"),
        runtime=job("export", "runtime"),
    params:
        settings=as_json(
            {
                "backends": {step: config[step]["backend"] for step in STEPS},
                "late": late_verdict(),
            }
        ),
        clips_per_caption_job=(
            f"--clips-per-caption-job {n}" if (n := clips_per_caption_job()) else ""
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/export.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --settings {params.settings:q} \
            {params.clips_per_caption_job} \
            --checks {input.checks:q} \
            >{log:q} 2>&1
        """
