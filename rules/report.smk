"""
in:  the files of the export; the tool also reads the videos, clips, transitions, signals, kept frames and benchmarks
out: report.html, one file that needs no other. Times and memory are in it, so its bytes differ from run to run
     review.html, which plays the clips of dataset/ beside it
"""


rule write_report:
    """Show what the run found, kept and dropped, and what other thresholds would keep: one page; and all kept clips."""
    input:
        metadata=rules.export_dataset.output.metadata,
        verdicts=rules.export_dataset.output.verdicts,
        errors=rules.export_dataset.output.errors,
        summary=rules.export_dataset.output.summary,
        models=rules.export_dataset.output.models,
        thresholds=resolved("filter", "late"),
    output:
        report=report(
            f"{OUT}/report.html", caption="report_texts/page.rst", category="Report"
        ),
        review=f"{OUT}/review.html",
    log:
        f"{OUT}/logs/report/report.log",
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("export", "mem_mb"),
        runtime=resource("export", "runtime"),
    params:
        settings=lambda wildcards: as_json(
            ALL_FILTERS
            | ({"drops": True} if WITH_DROPS else {})
            | ({"calibrates": True} if CALIBRATES else {})
        ),
        split=lambda wildcards: as_json({**SPLIT_SETTINGS, "fps": config["cut"]["fps"]}),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/report.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --settings {params.settings:q} \
            --split {params.split:q} \
            --thresholds {input.thresholds:q} \
            --output {output.report:q} \
            --review {output.review:q} \
            >{log:q} 2>&1
        """
