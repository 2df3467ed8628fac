"""
in:  all scores of all shards in `snakemake calibrate`: its videos are a sample, its outdir is <outdir>/calibrate; with
     `review` in the config the scores of the run itself, and a person's decisions
out: calibrated.yaml; work/thresholds/proposed.json, with which this run goes on to its dataset and report; of a review
     calibrate/learned.yaml and learned.html
"""


rule propose_thresholds:
    """Propose thresholds from the scores of the calibration sample."""
    input:
        tables=expand(
            f"{WORK}/{{name}}/{{shard}}.parquet",
            name=(
                "videos",
                "clips",
                *(f"scores/{metric}" for metric in (*MEASURED, *METRICS)),
            ),
            shard=SHARDS,
        ),
        removed=f"{WORK}/index/removed.jsonl",
    output:
        thresholds=f"{WORK}/thresholds/proposed.json",
        config=f"{OUT}/calibrated.yaml",
    log:
        f"{OUT}/logs/thresholds/proposed.log",
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("export", "mem_mb"),
        runtime=resource("export", "runtime"),
    params:
        settings=lambda wildcards: as_json(ALL_FILTERS),
        wishes=lambda wildcards: as_json(config["calibrate"]),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/calibrate.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --settings {params.settings:q} \
            --wishes {params.wishes:q} \
            --thresholds {output.thresholds:q} \
            --config {output.config:q} \
            >{log:q} 2>&1
        """


if config["review"]["file"] is not None:

    rule learn_thresholds:
        """Propose thresholds from a person's decisions about the clips of the run."""
        input:
            tables=expand(
                f"{WORK}/{{name}}/{{shard}}.parquet",
                name=("clips", "verdicts"),
                shard=SHARDS,
            ),
            thresholds=resolved("filter", "late"),
            removed=f"{WORK}/index/removed.jsonl",
        output:
            config=f"{OUT}/calibrate/learned.yaml",
            page=f"{OUT}/calibrate/learned.html",
        log:
            f"{OUT}/logs/thresholds/learned.log",
        conda:
            "../envs/video.yaml"
        container:
            lambda wildcards: image("video")
        resources:
            mem_mb=resource("export", "mem_mb"),
            runtime=resource("export", "runtime"),
        params:
            settings=lambda wildcards: as_json(ALL_FILTERS),
            wishes=lambda wildcards: as_json(config["calibrate"]),
            decisions=lambda wildcards: state_of(decisions()),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/learn.py \
                --outdir "$CLIPMILL_OUTDIR" \
                --settings {params.settings:q} \
                --wishes {params.wishes:q} \
                --thresholds {input.thresholds:q} \
                --config {output.config:q} \
                --page {output.page:q} \
                >{log:q} 2>&1
            """


# What `calibrate` makes and shows: the config file, then the page.
CALIBRATED = (
    {
        "config": rules.learn_thresholds.output.config,
        "report": rules.learn_thresholds.output.page,
        "run": [],
        "lost": [],
    }
    if config["review"]["file"] is not None
    else {
        "config": rules.propose_thresholds.output.config,
        "report": rules.write_report.output.report,
        "run": rules.export_dataset.output,
        "lost": lost_tables,
    }
)


rule calibrate:
    """Propose thresholds from a sample of the videos or from a review, and show what they keep: `snakemake calibrate`."""
    input:
        needed=require_config_keys("videos"),
        config=CALIBRATED["config"],
        run=CALIBRATED["run"],
        report=CALIBRATED["report"],
        lost=CALIBRATED["lost"],
    log:
        f"{OUT}/logs/thresholds/calibrate.log",
    localrule: True
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    shell:
        r"""
        {{ echo; cat {input.config:q}; printf '\n%s\n' {input.config:q} {input.report:q}; }} 2>{log:q}
        """
