"""Models' files are found, fetched and checked; what is wrong is said in one line."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub import COMMIT, SCRIPTS, refused, serving

from clipmill.models import checkpoints, published
from clipmill.models.checkpoints import Checkpoint, find_file, find_language_model, find_model

pytestmark = pytest.mark.torch  # for huggingface-hub

FILES = ["config.json", "model*.safetensors", "pytorch_model*.bin"]
SAFE = {"config.json": b"{}", "model.safetensors": b"s" * 1000, "pytorch_model.bin": b"p" * 1000, "README.md": b"#"}
PICKLED = {"config.json": b"{}", "pytorch_model.bin": b"p" * 1000}


@pytest.fixture
def hub():
    with serving() as hub:
        hub.models = {"maker/safe": dict(SAFE), "maker/pickled": dict(PICKLED)}
        yield hub


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_nothing_heavy_is_imported_before_it_is_needed():
    heavy = {"torch", "safetensors", "huggingface_hub"}
    program = f"import sys, clipmill.models.checkpoints; print(*{heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True)
    assert (done.returncode, done.stdout.strip()) == (0, b"")


# --- the hub ----------------------------------------------------------------------------------------------------------


def test_a_model_is_fetched_once_and_found_offline(hub, home):
    ((path, about),) = hub.look_up(home, ("maker/safe", COMMIT, FILES))
    assert about == {"model": "maker/safe", "revision": COMMIT, "licence": "unknown"}
    assert sorted(os.listdir(path)) == ["config.json", "model.safetensors"]  # no pickle, nothing that is not asked for
    assert (Path(path) / "model.safetensors").read_bytes() == SAFE["model.safetensors"]
    assert Path(path).is_relative_to(home / "hub")
    asked = list(hub.asked)
    assert hub.look_up(home, ("maker/safe", COMMIT, FILES)) == [[path, about]]
    assert hub.asked == asked, "a pinned model that is there needs no hub"
    assert hub.look_up(home, ("maker/safe", COMMIT, FILES), HF_HUB_OFFLINE="1") == [[path, about]]


def test_branches_are_resolved_and_pickles_fetched_where_there_is_nothing_else(hub, home):
    newest, branch, pickled = hub.look_up(
        home, ("maker/safe", None, FILES), ("maker/safe", "main", FILES), ("maker/pickled", None, FILES)
    )
    assert newest == branch
    assert newest[1]["revision"] == COMMIT
    assert sorted(os.listdir(pickled[0])) == ["config.json", "pytorch_model.bin"]
    hub.url = "http://127.0.0.1:1"  # nobody listens there
    assert hub.look_up(home, ("maker/safe", None, FILES)) == [newest]


def test_what_the_hub_refuses_is_explained(hub, home):
    hub.refused = {"maker/gated": (403, "GatedRepo"), "maker/private": (401, ""), "maker/barred": (403, "")}
    calls = [(model, None, FILES) for model in ("maker/none", *hub.refused)]
    none, gated, private, barred, revision, nothing = hub.look_up(
        home, *calls, ("maker/safe", "v9", FILES), ("maker/safe", None, ["*.pth"])
    )
    hub_name = f"{hub.url} (HF_ENDPOINT)"
    assert none == (
        f"maker/none: {hub_name} has no such model, or not for you; correct the name, or run `hf auth login` if it is "
        "private"
    )
    assert gated == (
        f"maker/gated: {hub_name} gives it to those it knows; ask for access on the model's page, then run `hf auth "
        "login`"
    )
    for name, line in (("private", private), ("barred", barred)):
        assert line.startswith(f"maker/{name}: {hub_name} has no such model, or not for you")
    assert revision.startswith(f"maker/safe at v9: {hub_name} has the model, but not this revision")
    assert f"{COMMIT}: holds no *.pth" in nothing


@pytest.mark.parametrize(
    ("offline", "why"),
    [
        ("1", "not, or not whole, in {home}/hub, and HF_HUB_OFFLINE forbids the network; run `snakemake fetch_models`"),
        ("0", "no such folder, not in {home}/hub, and no answer from http://127.0.0.1:1 (HF_ENDPOINT) (ConnectError"),
    ],
)
def test_out_of_reach_and_not_there(hub, home, offline, why):
    hub.url = "http://127.0.0.1:1"
    (line,) = hub.look_up(home, ("maker/safe", None, FILES), HF_HUB_OFFLINE=offline)
    assert line.startswith(f"maker/safe: {why.format(home=home)}")
    assert line.endswith("or name a folder in the config")
    assert "\n" not in line
    assert hub.asked == []


def test_a_cut_download_is_not_taken_for_a_whole_one(hub, home):
    hub.cut = {"model.safetensors"}
    call = ("maker/safe", COMMIT, FILES)
    (broken,) = hub.look_up(home, call)
    assert broken.startswith(f"maker/safe at {COMMIT}: the download from {hub.url} (HF_ENDPOINT) broke off")
    assert "\n" not in broken
    (half,) = hub.look_up(home, call, HF_HUB_OFFLINE="1")
    assert half.startswith(f"maker/safe at {COMMIT}: not, or not whole, in {home}/hub")
    hub.cut = set()
    ((path, _),) = hub.look_up(home, call)
    assert (Path(path) / "model.safetensors").read_bytes() == SAFE["model.safetensors"]


LANGUAGE = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"s", "LICENSE": b"text"}
TWICE = {  # the same in other forms, as some repositories have it
    **{name: b"x" for name in ("tekken.json", "tiktoken.model", "spiece.model", "vocab.txt", "hf_quant_config.json")},
    **{name: b"x" for name in ("params.json", "consolidated.safetensors", "original/consolidated.safetensors")},
    **{name: b"x" for name in ("onnx/model.onnx", "model-q4.gguf", "llm/model.safetensors", "pytorch_model.bin")},
}


def files_of(path: str) -> set[str]:
    return {file.relative_to(path).as_posix() for file in Path(path).rglob("*") if file.is_file()}


def test_a_language_model_is_fetched_in_one_form(hub, home):
    quantized = json.dumps({"quantization_config": {}, "llm_cfg": {}}).encode()
    hub.models["maker/usual"] = {**LANGUAGE, **TWICE, "config.json": quantized, "own.py": b"pass"}
    ((path, about),) = hub.look_up(home, ("maker/usual", COMMIT, False))
    assert files_of(path) == {"config.json", "tokenizer.json", "model.safetensors"}
    asked = list(hub.asked)
    assert hub.look_up(home, ("maker/usual", COMMIT, False), HF_HUB_OFFLINE="1") == [[path, about]]
    assert hub.asked == asked
    assert files_of(hub.look_up(home, ("maker/usual", COMMIT, True))[0][0]) - files_of(path) == set()
    assert (Path(path) / "own.py").is_file()


INDEX = b'{"weight_map": {"a": "parts/a.safetensors", "b": "b.safetensors"}}'
# Files besides config.json; whether the model's own code is trusted; what is fetched of them.
OTHER_FORMS = {
    "maker/tiktoken": (("model.safetensors", "tiktoken.model"), False, {"model.safetensors", "tiktoken.model"}),
    "maker/qwen": (("model.safetensors", "qwen.tiktoken"), False, {"model.safetensors", "qwen.tiktoken"}),
    "maker/t5": (("pytorch_model.bin", "spiece.model"), False, {"pytorch_model.bin", "spiece.model"}),
    "maker/bert": (("model.safetensors", "vocab.txt"), False, {"model.safetensors", "vocab.txt"}),
    "maker/modelopt": (
        ("model.safetensors", "tokenizer.json", "hf_quant_config.json"),
        False,
        {"model.safetensors", "tokenizer.json", "hf_quant_config.json"},
    ),
    "maker/mistral": (
        ("params.json", "tekken.json", "consolidated.safetensors", "original/c.pth"),
        False,
        {"params.json", "tekken.json", "consolidated.safetensors"},
    ),
    "maker/indexed": (
        ("model.safetensors.index.json", "tokenizer.json", "parts/a.safetensors", "b.safetensors", "c.safetensors"),
        False,
        {"model.safetensors.index.json", "tokenizer.json", "parts/a.safetensors", "b.safetensors"},
    ),
    "maker/vila": (
        ("llm/model.safetensors", "llm/vocab.json", "vision_tower/model.safetensors", "checkpoint-9/model.safetensors"),
        True,
        {"llm/model.safetensors", "llm/vocab.json", "vision_tower/model.safetensors"},
    ),
}


def test_language_models_of_other_forms(hub, home):
    config = b'{"llm_cfg": {}, "vision_tower_cfg": {}}'
    for model, (names, _, _) in OTHER_FORMS.items():
        hub.models[model] = {name: INDEX if name.endswith("index.json") else b"{}" for name in names}
        hub.models[model]["config.json"] = config
    calls = [(model, None, trusted) for model, (_, trusted, _) in OTHER_FORMS.items()]
    found = hub.look_up(home, *calls)
    fetched = {about["model"]: files_of(path) - {"config.json"} for path, about in found}
    assert fetched == {model: fetched for model, (_, _, fetched) in OTHER_FORMS.items()}
    assert hub.look_up(home, *calls, HF_HUB_OFFLINE="1") == found


def test_a_cache_that_an_earlier_version_filled_is_enough(hub, home):
    """Earlier versions fetched the usual files alone."""
    hub.models["maker/usual"] = {**LANGUAGE, **TWICE, "config.json": b'{"quantization_config": {}}'}
    ((path, about),) = hub.look_up(home, ("maker/usual", COMMIT, list(checkpoints.LANGUAGE_FILES)))
    assert hub.look_up(home, ("maker/usual", COMMIT, False), HF_HUB_OFFLINE="1") == [[path, about]]


def test_parts_of_a_model_are_not_fetched_for_code_that_is_not_trusted(hub, home):
    hub.models["maker/parts"] = {"config.json": b'{"llm_cfg": {}}', "llm/model.safetensors": b"s"}
    (line,) = hub.look_up(home, ("maker/parts", COMMIT, False))
    assert "holds no model*.safetensors or pytorch_model*.bin" in line
    assert not any(name.endswith("llm/model.safetensors") for name in hub.asked)


@pytest.mark.parametrize(("asked", "taken"), [(None, "32bd64288804d66eefd0ccbe215aa642df71cc41"), ("main", "main")])
def test_a_published_model_is_pinned_and_has_a_licence(monkeypatch, asked, taken):
    import huggingface_hub

    def download(model, revision, allow_patterns):
        assert (model, revision) == ("openai/clip-vit-large-patch14", taken)
        return "/cache/snapshots/commit"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(checkpoints, "_names", lambda folder: ["model.safetensors"])
    assert find_model("openai/clip-vit-large-patch14", asked, FILES) == Checkpoint(
        Path("/cache/snapshots/commit"), "openai/clip-vit-large-patch14", "commit", "MIT"
    )


def test_a_full_disk_is_not_taken_for_a_fault_of_the_hub(monkeypatch):
    import huggingface_hub

    def download(*_, **__):
        raise OSError(28, "No space left on device", "/cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(OSError, match="No space left"):
        find_model("maker/safe", None, FILES)


# --- folders and files of this machine --------------------------------------------------------------------------------


def test_a_folder_is_known_by_what_it_holds(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        for name, content in SAFE.items():
            (folder / name).write_bytes(content)
    one, two = (find_model(str(folder), "a revision of the hub", FILES) for folder in folders)
    assert one.path == folders[0]
    assert one.licence == "unknown"
    assert one.revision == two.revision
    assert one.revision.startswith("sha256:")
    assert len(one.revision) == len("sha256:") + 16
    revisions = {one.revision}
    (folders[1] / "pytorch_model.bin").write_bytes(b"not looked at")
    (folders[1] / "README.md").write_bytes(b"nor this")
    assert find_model(str(folders[1]), None, FILES).revision == one.revision
    (folders[1] / "config.json").write_bytes(b"{ }")
    revisions.add(find_model(str(folders[1]), None, FILES).revision)
    (folders[1] / "model.safetensors").rename(folders[1] / "model-2.safetensors")
    revisions.add(find_model(str(folders[1]), None, FILES).revision)
    assert len(revisions) == 3


def test_a_folder_with_usual_weights_is_not_known_by_files_of_other_forms(tmp_path):
    for name, content in LANGUAGE.items():
        (tmp_path / name).write_bytes(content)
    revision = find_language_model(str(tmp_path), None, False).revision
    for name, content in TWICE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert find_language_model(str(tmp_path), None, False).revision == revision
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").unlink()
    mistral = find_language_model(str(tmp_path), None, False).revision
    (tmp_path / "params.json").write_bytes(b"{ }")
    assert find_language_model(str(tmp_path), None, False).revision not in (revision, mistral)
    (tmp_path / "config.json").write_bytes(b"[]")
    assert "config.json: no JSON object; fetch" in refused(find_language_model, str(tmp_path), None, False)
    (tmp_path / "config.json").write_bytes(b"{")
    assert "config.json: no JSON (JSONDecodeError" in refused(find_language_model, str(tmp_path), None, False)


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    line = refused(find_model, str(tmp_path), None, FILES)
    assert line.startswith(f"{tmp_path}: holds no model*.safetensors or pytorch_model*.bin; name a folder that does")
    assert find_model(str(tmp_path), None, ["config.json"]).path == tmp_path


@pytest.mark.parametrize("model", ["/no/such/folder", "./nor/this", "~/nor/that", "a/b/c d"])
def test_what_cannot_be_a_model_of_the_hub_is_not_asked_of_it(model):
    why = "neither a folder or file of this machine nor" if model == "a/b/c d" else "there is no such folder or file"
    assert refused(find_model, model, None, FILES).startswith(f"{model}: {why}")


def test_a_local_file(tmp_path):
    path = tmp_path / "head.pth"
    path.write_bytes(b"content")
    digest = sha256(b"content")
    found = Checkpoint(path, str(path), f"sha256:{digest[:16]}", "unknown")
    assert (
        find_file(str(path), digest.upper()) == find_file(str(path), None) == find_model(str(path), None, []) == found
    )
    assert refused(find_file, str(path), "0" * 64) == (
        f"{path}: its sha256 is {digest}, not {'0' * 64}; take the right file or correct the sum"
    )
    missing = str(tmp_path / "other.pth")
    assert refused(find_file, missing, None).startswith(f"{missing}: there is no such file")


def test_a_published_file_keeps_its_licence_wherever_it_lies(tmp_path, monkeypatch):
    path = tmp_path / "renamed.pth"
    path.write_bytes(b"content")
    entry = published.Published("AGPL-3.0", "here", sha256=sha256(b"content"))
    monkeypatch.setitem(published.PUBLISHED, "https://far.away/head.pth", entry)
    assert find_file(str(path), None).licence == "AGPL-3.0"


def test_the_list_of_published_models():
    for name, entry in published.PUBLISHED.items():
        assert entry.revision is None or not name.startswith("https://")
        assert entry.revision is None or len(bytes.fromhex(entry.revision)) == 20
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        assert entry.licence
        assert entry.source
    assert published.LICENCES[published.SIGLIP_HEAD] == "AGPL-3.0"


# --- files from the web -----------------------------------------------------------------------------------------------

HEAD = b"head" * 1000


@pytest.fixture
def web(hub, monkeypatch):
    """The same server with a file to fetch, asked directly whatever proxy this machine has."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()
    hub.files["raw/a%2Bb.pth"] = HEAD
    hub.where = f"{hub.url}/raw/a%2Bb.pth"
    yield hub
    close_session()


def test_a_file_is_fetched_once(web, tmp_path):
    found = find_file(web.where, sha256(HEAD), tmp_path)
    assert found == Checkpoint(tmp_path / "a+b.pth", web.where, f"sha256:{sha256(HEAD)[:16]}", "unknown")
    assert found.path.read_bytes() == HEAD
    assert find_file(web.where, sha256(HEAD), tmp_path) == found
    assert web.asked == ["raw/a%2Bb.pth"]
    assert sorted(os.listdir(tmp_path)) == [".a+b.pth.lock", "a+b.pth"]


def test_jobs_that_want_the_same_file_fetch_it_once(web, tmp_path):
    with ThreadPoolExecutor(4) as jobs:
        found = list(jobs.map(lambda _: find_file(web.where, sha256(HEAD), tmp_path), range(4)))
    assert len(set(found)) == len(web.asked) == 1


def test_by_default_it_lies_in_the_hubs_home(web, home, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(home))
    assert find_file(web.where, sha256(HEAD)).path == home / "clipmill" / "a+b.pth"


def test_the_published_checksum_is_asked_for(web, tmp_path, monkeypatch):
    monkeypatch.setitem(published.PUBLISHED, web.where, published.Published("MIT", "here", sha256="0" * 64))
    line = refused(find_file, web.where, None, tmp_path)
    assert line.startswith(f"{web.where}: gave a file with the sha256 {sha256(HEAD)}, not {'0' * 64}; run again")
    assert not (tmp_path / "a+b.pth").exists()


def test_without_a_checksum_the_first_content_is_trusted_and_no_other(web, tmp_path, caplog):
    find_file(web.where, None, tmp_path)
    assert caplog.messages[-1].endswith(f"trusted from now on with the sha256 {sha256(HEAD)}")
    note = tmp_path / "a+b.pth.json"
    assert json.loads(note.read_text()) == {"url": web.where, "sha256": sha256(HEAD)}
    count = len(caplog.messages)
    find_file(web.where, None, tmp_path)
    assert len(caplog.messages) == count

    (tmp_path / "a+b.pth").write_bytes(b"another")
    line = refused(find_file, web.where, None, tmp_path)
    assert f"has the sha256 {sha256(b'another')}, not {sha256(HEAD)} as {note} remembers from the first time" in line
    (tmp_path / "a+b.pth").unlink()
    web.files["raw/a%2Bb.pth"] = b"changed at its source"
    assert "gave a file with the sha256" in refused(find_file, web.where, None, tmp_path)
    web.files["raw/a%2Bb.pth"] = HEAD
    find_file(web.where, None, tmp_path)

    web.files["elsewhere/a%2Bb.pth"] = b"of the same name"
    other = f"{web.url}/elsewhere/a%2Bb.pth"
    assert f"comes from {web.where}, not from {other}" in refused(find_file, other, None, tmp_path)
    assert "as it should; delete it" in refused(find_file, other, sha256(b"of the same name"), tmp_path)


def test_a_file_put_there_by_hand_needs_no_network_and_no_right_to_write(web, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    line = refused(find_file, web.where, sha256(HEAD), tmp_path / "cache")
    path = tmp_path / "cache" / "a+b.pth"
    assert line == (
        f"{web.where}: not in {path.parent}, and HF_HUB_OFFLINE forbids the network; run `snakemake fetch_models` on a "
        f"machine with internet and this HF_HOME, or put the file at {path} yourself"
    )
    path.write_bytes(HEAD)
    monkeypatch.setattr(checkpoints, "one_at_a_time", None)  # a lock would want to write
    assert find_file(web.where, sha256(HEAD), path.parent).path == path
    assert web.asked == []


@pytest.mark.parametrize("fault", ["cut", "gone", "nobody there", "no address"])
def test_what_cannot_be_fetched_leaves_nothing(web, tmp_path, fault):
    where = web.where
    if fault == "cut":
        web.cut = {"raw/a%2Bb.pth"}
    elif fault == "gone":
        web.files.clear()
    elif fault == "nobody there":
        where = "http://127.0.0.1:1/a%2Bb.pth"
    else:
        where = "http://127.0.0.1:port/a%2Bb.pth"
    line = refused(find_file, where, None, tmp_path)
    assert line.startswith(f"{where}: not fetched (")
    assert line.endswith(f"; run again with internet, or put the file at {tmp_path / 'a+b.pth'} yourself")
    assert [name for name in os.listdir(tmp_path) if "a+b" in name] == [".a+b.pth.lock"]


def test_a_file_in_a_zip_archive(web, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("craft.pth", HEAD)
        archive.writestr("other.txt", "no")
    web.files["craft.zip"] = buffer.getvalue()
    where = f"{web.url}/craft.zip#craft.pth"
    found = find_file(where, sha256(HEAD), tmp_path)
    assert found.path == tmp_path / "craft.pth"
    assert found.path.read_bytes() == HEAD
    assert web.asked == ["craft.zip"]
    assert "no zip archive with that in it (KeyError: " in refused(find_file, f"{web.url}/craft.zip#a", None, tmp_path)
    web.files["craft.zip"] = HEAD
    assert "(BadZipFile: " in refused(find_file, f"{web.url}/craft.zip#b", None, tmp_path)
    assert "as in name.zip#name.pth" in refused(find_file, f"{web.url}/craft.zip", None, tmp_path)
    assert "name a file" in refused(find_file, f"{web.url}/", None, tmp_path)
    assert "name a file" in refused(find_file, f"{web.url}/craft.zip#..", None, tmp_path)


# --- the tool ---------------------------------------------------------------------------------------------------------

# Runs a tool with one backend more, `head`, whose model is a single file.
BACKENDS = """
import runpy, sys
from clipmill.models import backends, checkpoints

class Head:
    def __init__(self, settings):
        self.settings = settings

    def checkpoints(self):
        return [checkpoints.find_file(self.settings["head"], self.settings["sha256"])]

def load(step, settings, runtime, known=backends.load):
    return Head(settings) if settings["backend"] == "head" else known(step, settings, runtime)

backends.load = load
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def fetch_models(home: Path, settings: dict, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BACKENDS, SCRIPTS / "fetch_models.py", "--settings", json.dumps(settings), *arguments],
        env={"PATH": os.environ["PATH"], "HF_HOME": str(home), "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )


def test_models_are_fetched_beforehand(web, home, tmp_path):
    settings = {
        "aesthetic": {"backend": "head", "head": web.where, "sha256": sha256(HEAD)},
        "caption": {"backend": "describe"},
        "alignment": {"backend": "none"},
    }
    done = fetch_models(home, settings, "--output", str(tmp_path / "models.json"))
    assert done.returncode == 0, done.stderr
    path = home / "clipmill" / "a+b.pth"
    revision = f"sha256:{sha256(HEAD)[:16]}"
    assert done.stdout == f"aesthetic: {web.where} | {revision} | unknown\n    {path}\n"
    about = {"model": web.where, "revision": revision, "licence": "unknown"}
    assert json.loads((tmp_path / "models.json").read_text()) == [
        {"step": "aesthetic", "backend": "head", **about, "path": str(path)}
    ]
    del settings["aesthetic"]
    assert fetch_models(home, settings).stdout == "none of these backends needs a model from elsewhere\n"


def test_what_cannot_be_fetched_ends_the_tool(web, home):
    done = fetch_models(home, {"aesthetic": {"backend": "head", "head": web.where, "sha256": "0" * 64}})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("a+b.pth yourself")
