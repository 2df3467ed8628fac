"""
in:  the sections `filters`, `filter_order`, `cascade` and `text_checks` of the config
out: helpers of the rules that judge clips: filters and their order, and the stages at which quantiles are resolved
"""

from clipmill.filters.columns import LATE_FILTERS, in_order, source
from clipmill.filters.quantiles import quantiles
from clipmill.filters.verdict import active, before, costly_before
from clipmill.steps import MEASURED, by_name

# Each costly score that clips may skip has a stage of its own: its quantiles count the clips that came so far.
STAGES = (*METRICS, "filter", "late")
FILTER_ORDER = in_order(config["filter_order"], CLASSIFIERS)

# All filters, with or without a bound: the report offers them, and `calibrate` may propose a bound for each.
ALL_FILTERS = {
    "filters": {
        name: config["filters"][name] for name in (*FILTER_ORDER, *LATE_FILTERS)
    },
    "order": FILTER_ORDER,
    "cascade": config["cascade"],
}


def filter_settings(order):
    """The filters in `order` that have a bound, and their order, for the tools that give verdicts.

    In a run on a calibration sample all of them: any filter may get a bound.
    """
    bounds = config["filters"]
    filters = (
        {name: bounds[name] for name in order} if CALIBRATES else active(bounds, order)
    )
    return {"filters": filters, "order": list(filters)}


def verdict_settings():
    """The filters, and what clip files need if the config says it: without that the settings are as before."""
    settings = filter_settings(FILTER_ORDER)
    if config["cut"]["size"] is not None:
        settings["size"] = {
            name: CUT_SETTINGS[name] for name in ("size", "resolutions")
        }
    if config["cut"]["audio"] in ("require", "required"):
        settings["needs_sound"] = True
    return settings


def last_verdict_settings():
    """The text checks and late filters of clips that have a text, for the tools that give the last verdict."""
    return {"checks": config["text_checks"], **filter_settings(LATE_FILTERS)}


def spared_by(metric):
    """The filters that decide which clips skip the costly `metric`: a clip that fails one of them does."""
    return before(metric, FILTER_ORDER) if config["cascade"] else []


def stage_quantiles(stage):
    """The bounds that are quantiles among the filters of a stage."""
    orders = {"filter": FILTER_ORDER, "late": LATE_FILTERS}
    order = orders[stage] if stage in orders else spared_by(stage)
    return quantiles(filter_settings(order)["filters"])


def quantile_tables(wildcards):
    """The tables, of all shards, from which the quantiles of a stage are computed."""
    sources = {source(name) for name in stage_quantiles(wildcards.stage)}
    names = ["clips"] + sorted(
        name if name == "videos" else f"scores/{name}" for name in sources
    )
    return expand(f"{WORK}/{{name}}/{{shard}}.parquet", name=names, shard=SHARDS)


def resolved(*stages):
    """The files with the values of the quantiles of these stages; none where no threshold is one.

    The run on a calibration sample takes the thresholds that are proposed from the sample.
    """
    if CALIBRATES:
        return [f"{WORK}/thresholds/proposed.json"] if "filter" in stages else []
    return [
        f"{WORK}/thresholds/{stage}.json" for stage in stages if stage_quantiles(stage)
    ]


def score_jobs():
    """The metrics that look at frames, cheaper ones first, and which of them share a job: embedded ones next to each other.

    Where a threshold before a metric is a quantile, the metric waits for the scores of all shards, in a job of its own.
    """
    jobs = []
    for metric in sorted(
        METRICS, key=lambda name: len(costly_before(name, FILTER_ORDER))
    ):
        embedded = jobs and {metric, jobs[-1][-1]} <= {*EMBEDDED}
        if embedded and not stage_quantiles(metric):
            jobs[-1].append(metric)
        else:
            jobs.append([metric])
    return jobs


SCORE_JOBS = score_jobs()


def score_rule(metrics):
    """The name of the rule that computes some metrics in one job."""
    return by_name(metrics[0]).rule if len(metrics) == 1 else "score_clips"


wildcard_constraints:
    stage="|".join(STAGES),
