"""docs/recipes.md: the commands of each recipe are run on small videos, or planned where they need a GPU or a cluster.

Those of docs/tutorial.md are planned. A command that this file does not know fails, and so does a key, preset, profile
or target that does not exist.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from runs import REPOSITORY, SNAKEMAKE, Outcome, call, make_video

from chat_server import Asked, ChatServer, is_check, said_to_check

SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)
RECIPES, TUTORIAL = (
    dict(SECTION.findall((REPOSITORY / "docs" / name).read_text(encoding="utf-8")))
    for name in ("recipes.md", "tutorial.md")
)
BLOCK = re.compile(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVER = "http://gpu-server:8000/v1"
WEB, PHONE = "10,000 web clips on SLURM for Wan 2.2", "Phone videos for an LTX-2 LoRA with sound"
LIST, ELSEWHERE = "A published cut list", "Captions from a server that runs elsewhere"
SUBJECT, WEEKLY = "Only clips with my subject", "Add videos every week"
PLANNED = {WEB, PHONE, SUBJECT}  # need a cluster, a GPU, or videos too large for a test
CAPTION = "A camera moves slowly over a still photograph."


def answer(asked: Asked) -> str:
    """Answers a check, a question for a caption and one for its rewriting."""
    if is_check(asked):
        return said_to_check(asked)
    wanted = asked.body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("required", [])
    return json.dumps(dict.fromkeys(wanted, CAPTION)) if wanted else CAPTION


@pytest.fixture
def server():
    with ChatServer(answer, "Qwen/Qwen3-VL-8B-Instruct") as serving:
        yield serving
        serving.check()


@dataclass
class Kitchen:
    """A place where recipes are tried: `/data` and the home folder lie in it, and the server has another address."""

    place: Path
    server: str
    environment: dict[str, str] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.here.mkdir()
        for name in ("config", "profiles"):
            (self.here / name).symlink_to(REPOSITORY / name)

    @property
    def here(self) -> Path:
        """Where the commands are run."""
        return self.place / "clipmill"

    def local(self, text: str) -> str:
        text = text.replace("/data/", f"{self.place}/data/").replace("~/", f"{self.place}/home/")
        return text.replace(SERVER, self.server)

    def cook(self, text: str, planned: bool) -> None:
        """Write the files of a recipe and run its commands, in their order."""
        for language, title, content in BLOCK.findall(text):
            content = self.local(content)
            if language == "bash":
                for line in content.splitlines():
                    self.run(line, planned)
                continue
            title = title or content.partition("\n")[0].removeprefix("# ")
            assert re.fullmatch(r"[\w./-]+\.(yaml|csv)", title), f"this block does not name its file: {content}"
            path = self.here / self.local(title)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            if language == "csv":
                for name in re.findall(r"^(\w+),", content, re.MULTILINE)[1:]:
                    make_video(path.with_name(f"{name}.mp4"), seconds=2.5, speed=60)
            elif videos := yaml.safe_load(content).get("videos"):
                self.add_video(self.here / videos, "first")

    def add_video(self, videos: Path, name: str) -> None:
        if not videos.suffix and not (videos / f"{name}.mp4").exists():
            make_video(videos / f"{name}.mp4", seconds=3.2, speed=60, size=(640, 480))

    def run(self, line: str, planned: bool) -> None:
        """Run a line of a block of commands."""
        if line.startswith("#"):
            assert "new videos" in line, line
            self.add_video(self.place / "data" / "weekly", "second")
            return
        program, *arguments = shlex.split(line)
        if program == "make":
            command = ["make", "--dry-run", "--silent", "-C", REPOSITORY, *arguments]
            subprocess.run(command, check=True, capture_output=True)
        elif program == "source":
            assert f"{arguments[0].partition('/')[0]}\n" in (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        elif program == "cp":
            recursive, source, copy = arguments
            assert recursive == "-r"
            shutil.copytree(self.here / source, copy)
        elif program == "export":
            self.environment |= dict(argument.split("=") for argument in arguments)
        elif program == "snakemake":
            self.snakemake(arguments, planned)
        else:
            raise AssertionError(f"no test knows the command {program}")

    def snakemake(self, arguments: list[str], planned: bool) -> None:
        profile = Path(arguments[arguments.index("--profile") + 1])
        if profile.is_absolute():  # a copy of the cluster's, whose plugin may be missing here
            assert (profile / "config.yaml").read_text() == (REPOSITORY / "profiles/slurm/config.yaml").read_text()
            arguments = ["profiles/local" if argument == str(profile) else argument for argument in arguments]
        dry = ["-n"] if planned and arguments[0] != "plan" and "-n" not in arguments else []
        command = [*SNAKEMAKE, "--snakefile", str(REPOSITORY / "Snakefile"), *arguments, "--cores", "2", *dry]
        options = {"env": {**os.environ, **self.environment}} if self.environment and not planned else {}
        self.outcomes.append(call(command, self.here, **options))
        assert self.outcomes[-1].code == 0, self.outcomes[-1].output

    def rows(self, outdir: str) -> list[dict]:
        """The clips of a dataset."""
        return pq.read_table(self.place / "data" / outdir / "dataset" / "metadata.parquet").to_pylist()


@pytest.fixture
def kitchen(tmp_path: Path, server: ChatServer) -> Kitchen:
    return Kitchen(tmp_path, server.url)


def test_each_recipe_is_tried():
    assert set(RECIPES) == PLANNED | {LIST, ELSEWHERE, WEEKLY}


def test_web_clips_on_slurm(kitchen):
    kitchen.cook(RECIPES[WEB], planned=True)
    plan, calibrate, fetch, run = kitchen.outcomes
    assert "caption_clips" in plan.output and "not measured" in plan.output
    assert calibrate.planned and not fetch.planned.keys() & run.planned.keys()
    assert run.planned.keys() >= {"fingerprint_clips", "find_duplicates", "check_backend", "caption_clips"}


def test_phone_videos_with_sound(kitchen):
    kitchen.cook(RECIPES[PHONE], planned=True)
    assert [outcome.planned["cut_clips"] for outcome in kitchen.outcomes] == [1, 1]


def test_the_tutorial_can_be_planned(kitchen):
    """Its steps from the settings on. They were run by hand: its videos take a minute."""
    for step in ("3. Say what you want", "4. Look before you start", "5. Run"):
        kitchen.cook(TUTORIAL[step], planned=True)
    assert "clips have the numbers of frames [33, 49, 81] at 16 per second" in kitchen.outcomes[0].output
    assert kitchen.outcomes[1].planned["cut_clips"] == 1


def test_a_published_list(kitchen):
    kitchen.cook(RECIPES[LIST], planned=False)
    rows = kitchen.rows("panda-clips")
    assert [row["text"] for row in rows] == [
        "A fishing boat leaves the harbour at dawn.",
        "Gulls circle slowly over the stone quay.",
    ]
    assert [row["end_frame"] - row["start_frame"] for row in rows] == [10, 12]
    assert (kitchen.place / "data" / "panda-clips" / "dataset" / "hf-videofolder" / "train" / "metadata.jsonl").exists()


def test_a_server_elsewhere(kitchen, server):
    kitchen.cook(RECIPES[ELSEWHERE], planned=False)
    (row,) = kitchen.rows("phone-captioned")
    assert (row["text"], row["caption_model"]) == (CAPTION, "openai: Qwen/Qwen3-VL-8B-Instruct")
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer the-key-of-your-server"}


def test_only_my_subject(kitchen):
    """Planned: test_judge_runs.py has real answers. The file of the question is read at the start."""
    kitchen.cook(RECIPES[SUBJECT], planned=True)
    asked, compared = kitchen.outcomes
    assert asked.planned["judge_clips"] == compared.planned["score_classifier_dog"] == 1
    (kitchen.here / "subject-question.yaml").write_text("subject_visible: {question: 'Is {subjct} there?'}\n")
    with pytest.raises(AssertionError, match="subjct"):
        kitchen.run("snakemake --profile profiles/local --configfile subject.yaml", planned=True)


def test_a_set_that_grows(kitchen):
    kitchen.cook(RECIPES[WEEKLY], planned=False)
    first, second = kitchen.outcomes
    assert first.jobs["decode_videos"] == second.jobs["decode_videos"] == 1
    assert {row["name"] for row in kitchen.rows("weekly-set")} == {"first.mp4", "second.mp4"}


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("filters:", "fliters:", "did you mean `filters`?"),
        ("targets/ltx-2.yaml", "targets/ltx-3.yaml", "targets/ltx-3.yaml"),
        ("profiles/local --configfile", "profiles/locla --configfile", "profiles/locla"),
        ("snakemake --profile", "snakemake plann --profile", "plann"),
    ],
)
def test_a_wrong_recipe_is_found(kitchen, right, wrong, said):
    text = RECIPES[PHONE]
    assert right in text
    with pytest.raises(AssertionError) as found:
        kitchen.cook(text.replace(right, wrong), planned=True)
    assert said in str(found.value)


def test_a_wrong_target_of_make_is_found(kitchen):
    with pytest.raises(subprocess.CalledProcessError):
        kitchen.run("make vlm slurm", planned=True)
