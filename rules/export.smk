"""
in:  all tables of all shards, by way of the last ones; the lists of removed videos and of unusable entries
out: dataset/, verdicts.parquet, errors.csv, summary.json, models.json
"""


rule export_dataset:
    """Put the dataset together, with the verdicts, the errors and the summary."""
    input:
        needed=needs("videos"),
        thresholds=resolved("filter", "late"),
        cuts=expand(f"{WORK}/cuts/{{shard}}.parquet", shard=SHARDS),
        checks=CHECKS,
        removed=f"{WORK}/index/removed.jsonl",
        problems=f"{WORK}/index/problems.jsonl",
    output:
        metadata=f"{OUT}/dataset/metadata.parquet",
        formats=report(
            dataset_files(), caption="captions/formats.rst", category="Dataset"
        ),
        card=report(
            f"{OUT}/dataset/README.md", caption="captions/card.rst", category="Dataset"
        ),
        verdicts=report(
            f"{OUT}/verdicts.parquet", caption="captions/verdicts.rst", category="Run"
        ),
        errors=report(
            f"{OUT}/errors.csv", caption="captions/errors.rst", category="Run"
        ),
        summary=report(
            f"{OUT}/summary.json", caption="captions/summary.rst", category="Run"
        ),
        models=report(
            f"{OUT}/models.json", caption="captions/models.rst", category="Run"
        ),
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
        settings=lambda wildcards: as_json(
            {
                "backends": {step: config[step]["backend"] for step in STEPS},
                "late": late_verdict(),
                "export": config["export"],
                "filters": config["filters"],
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
            --thresholds {input.thresholds:q} \
            --checks {input.checks:q} \
            >{log:q} 2>&1
        """
