"""
in:  the dataset
out: work/upload.json, what was sent; the files themselves are at `export.upload`
"""


rule upload:
    """Send the dataset to `export.upload`: what is new or has changed, lists last."""
    input:
        needed=require_config_keys("export.upload"),
        dataset=rules.export_dataset.output,
    output:
        sent=f"{WORK}/upload.json",
    log:
        f"{OUT}/logs/upload/upload.log",
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    resources:
        mem_mb=resource("export", "mem_mb"),
        runtime=resource("export", "runtime"),
    params:
        address=config["export"]["upload"],
        settings=lambda wildcards: as_json(
            {
                "formats": config["export"]["formats"],
                "splits": formats.splits(config["export"]["validation_share"]),
            }
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/upload.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --address {params.address:q} \
            --settings {params.settings:q} \
            --output {output.sent:q} \
            >{log:q} 2>&1
        """
