"""clipmill: a folder of raw videos becomes a training-ready set of captioned clips."""

from snakemake.utils import min_version

min_version("9.27")


include: "rules/place.smk"


configfile: str(HERE / "config" / "config.yaml")


report: "rules/report_texts/run.rst"


include: "rules/common.smk"
include: "rules/terminal.smk"
include: "rules/inputs.smk"
include: "rules/run.smk"
include: "rules/review.smk"
include: "rules/resources.smk"
include: "rules/check.smk"
include: "rules/fetch.smk"
include: "rules/decode.smk"
include: "rules/shots.smk"
include: "rules/split.smk"
include: "rules/thresholds.smk"
include: "rules/score.smk"
include: "rules/filter.smk"
include: "rules/duplicates.smk"
include: "rules/judge.smk"
include: "rules/caption.smk"
include: "rules/align.smk"
include: "rules/cut.smk"
include: "rules/export.smk"
include: "rules/upload.smk"
include: "rules/report.smk"
include: "rules/calibrate.smk"
include: "rules/plan.smk"
include: "rules/beautify.smk"
include: "rules/compare.smk"
include: "rules/quantize.smk"
include: "rules/browse.smk"


rule all:
    """The dataset, its report and its tables."""
    default_target: True
    input:
        rules.export_dataset.output,
        rules.write_report.output,
        rules.upload.output if config["export"]["upload"] else [],
        lost_tables,


onstart:
    begin_run()


onsuccess:
    print_summary()
