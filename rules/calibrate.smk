"""
in:  all scores of all shards in `snakemake calibrate`: its videos are a sample, its outdir is <outdir>/calibrate
out: calibrated.yaml; work/thresholds/proposed.json, with which this run goes on to its dataset and report
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


rule calibrate:
    """Propose thresholds from a sample of the videos, and show which clips they keep: `snakemake calibrate`."""
    input:
        needed=require_config_keys("videos"),
        config=rules.propose_thresholds.output.config,
        run=rules.export_dataset.output,
        report=rules.write_report.output.report,
        lost=lost_tables,
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
