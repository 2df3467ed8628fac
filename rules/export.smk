"""
in:  all tables of all shards (the rule names only the last ones); the lists of removed videos and of unusable entries
out: dataset/, verdicts.parquet, errors.csv, summary.json, models.json
"""

from clipmill.dataset import formats
from clipmill.shapes.target import has_target

# The files, besides the metadata, with which readers of the formats begin.
DATASET_FILES = formats.entries(
    config["export"]["formats"], formats.splits(config["export"]["validation_share"])
)
# Where the dataset is sent changes nothing in it.
EXPORT_SETTINGS = {
    name: value for name, value in config["export"].items() if name != "upload"
}


rule export_dataset:
    """Put the dataset together, with the verdicts, the errors and the summary."""
    input:
        needed=require_config_keys("videos"),
        thresholds=resolved("filter", "late"),
        duplicates=DUPLICATES,
        given=expand(
            f"{WORK}/index/given/{{shard}}.parquet", shard=SHARDS if GIVEN else []
        ),
        cuts=expand(f"{WORK}/cuts/{{shard}}.parquet", shard=SHARDS),
        checks=expand(f"{WORK}/checks/{{step}}.json", step=WITH_BACKENDS),
        removed=f"{WORK}/index/removed.jsonl",
        problems=f"{WORK}/index/problems.jsonl",
    output:
        metadata=f"{OUT}/dataset/metadata.parquet",
        formats=report(
            [f"{OUT}/dataset/{name}" for name in DATASET_FILES],
            caption="report_texts/formats.rst",
            category="Dataset",
        ),
        card=report(
            f"{OUT}/dataset/README.md",
            caption="report_texts/card.rst",
            category="Dataset",
        ),
        verdicts=report(
            f"{OUT}/verdicts.parquet",
            caption="report_texts/verdicts.rst",
            category="Run",
        ),
        errors=report(
            f"{OUT}/errors.csv", caption="report_texts/errors.rst", category="Run"
        ),
        summary=report(
            f"{OUT}/summary.json", caption="report_texts/summary.rst", category="Run"
        ),
        models=report(
            f"{OUT}/models.json", caption="report_texts/models.rst", category="Run"
        ),
    log:
        f"{OUT}/logs/export/export.log",
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("export", "mem_mb"),
        runtime=resource("export", "runtime"),
    params:
        settings=lambda wildcards: as_json(
            {
                "backends": {step: section(step)["backend"] for step in WITH_BACKENDS},
                "late": last_verdict_settings(),
                **judgement(JUDGES or config["judge"]["with_caption"]),
                "export": EXPORT_SETTINGS,
                "fps": config["cut"]["fps"],
                "filters": filter_settings([*FILTER_ORDER, *LATE_FILTERS])["filters"],
                **({"drops": DROP_SETTINGS} if WITH_DROPS else {}),
                **({"given": True} if GIVEN else {}),
                **review_settings(),
                **({"has_target": True} if has_target(config["cut"]) else {}),
                **(
                    {
                        "masks": {
                            name: CUT_SETTINGS[name]
                            for name in ("size", "resolutions")
                        }
                    }
                    if config["crop"]["masks"]
                    else {}
                ),
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
            --duplicates {input.duplicates:q} \
            --checks {input.checks:q} \
            >{log:q} 2>&1
        """
