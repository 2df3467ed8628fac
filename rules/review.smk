"""
in:  the file of a person's decisions that `review` of the config names
out: work/decisions.jsonl: the decisions that this run follows. Helpers of the rules that follow them, by their params:
     a table that is older than the file still holds if nothing was decided that concerns it
"""

from functools import cache

from clipmill.base.journal import fingerprint
from clipmill.store.index import read_videos
from clipmill.store.review import read_review, state_of, video_of, write_review


@cache
def decisions():
    """The decisions by clip. Jobs, which other machines run later, read what the main process kept for them."""
    file = config["review"]["file"]
    if file is None:
        return {}
    return or_exit(
        read_review, Path(file) if workflow.is_main_process else PATHS.decisions
    )


def keep_decisions():
    """Keep the decisions for the jobs: a person may go on deciding while the run is at work."""
    if config["review"]["file"] is not None:
        or_exit(write_review, PATHS.decisions, decisions())


def review_settings():
    """What the export follows. Without a file the settings are as before."""
    if config["review"]["file"] is None:
        return {}
    require = config["review"]["require"]
    return {"review": {"require": require, "state": state_of(decisions())}}


@cache
def clips_with_text_of_person():
    """By shard: the clips whose text a person wrote, with the keys of what the person saw."""
    clips = {
        name: one.clip for name, one in decisions().items() if one.text is not None
    }
    found = {}
    if clips:
        shard_of = {
            video["video_id"]: shard
            for shard in SHARDS
            for video in read_videos(PATHS.shard(shard))
        }
        for clip, key in sorted(clips.items()):
            found.setdefault(shard_of.get(video_of(clip)), []).append([clip, key])
    return found


def texts_of_person(shard):
    """For the job that cuts the clips of a shard: which clips have a text whatever models wrote. Their words do not matter."""
    clips = clips_with_text_of_person().get(shard)
    return {"texts_of_person": fingerprint(clips)} if clips else {}


# A fault of the file ends the start, and no job hours later. Commands beside the run need no decisions.
if workflow.is_main_process and not BESIDE_RUNS & set(sys.argv):
    decisions()
