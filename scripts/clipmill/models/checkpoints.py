"""Finds, fetches and reads the models' files. Nothing in them is trusted, and nothing in them is run.

A model is a folder, a file, a name on the Hugging Face hub or an address on the web. Fetched files lie in the hub's own
cache (`HF_HOME`, by default ~/.cache/huggingface). `HF_ENDPOINT` names a mirror of the hub; `HF_HUB_OFFLINE=1` forbids
the network. Each job looks for its files again, which takes almost no time once they are there. So a cluster without
internet only needs one run of `snakemake fetch_models` on a machine with internet.

A model of the hub is pinned by its commit, a file from elsewhere by its checksum: the config's, else the published one.
If neither is known, the file is trusted on first use: its checksum is stored beside it, and other content is refused
later.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from glob import escape
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from clipmill.base.errors import SetupError
from clipmill.base.files import atomic, write_json
from clipmill.base.locks import one_at_a_time
from clipmill.models.published import LICENCES, PUBLISHED

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

log = logging.getLogger(__name__)

# Patterns of the file names to fetch. If a model has safetensors, its pickles are neither fetched nor read.
MODEL_FILES: tuple[str, ...] = (
    *("config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json"),
    *("pytorch_model*.bin", "pytorch_model.bin.index.json"),
)
TOKENIZER_FILES: tuple[str, ...] = ("tokenizer*.json", "vocab.json", "merges.txt", "special_tokens_map.json")
LANGUAGE_FILES: tuple[str, ...] = (
    *(*MODEL_FILES, *TOKENIZER_FILES, "generation_config.json", "tokenizer.model", "added_tokens.json"),
    *("chat_template*", "processor_config.json", "video_preprocessor_config.json", "quant*_config.json"),
)
REMOTE_CODE: tuple[str, ...] = ("*.py",)

# Language models of other forms: see `_other_forms`.
TOKENIZERS: tuple[str, ...] = ("tokenizer.json", "tokenizer.model", "merges.txt")  # most models have one of them
OTHER_TOKENIZERS: tuple[str, ...] = ("tekken.json", "tiktoken.model", "*.tiktoken", "spiece.model", "vocab.txt")
MISTRAL_FILES: tuple[str, ...] = ("params.json", "tekken.json", "consolidated*.safetensors", "consolidated*.index.json")
PART_FILES: tuple[str, ...] = ("*.json", "*.safetensors", "*.txt", "tokenizer.model")

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")
PICKLES = (".bin", ".pth", ".pt", ".bin.index.json")
# Where targets of the Makefile put files that come in packages: below the folder of this checkout.
INSTALLED = Path(__file__).resolve().parents[3] / "weights"
PIECE = 2**23  # bytes read at once
LARGE = 2**30  # bytes: of such a large file in a folder, SPOTS pieces are hashed, since other weights differ everywhere
SPOTS = 64
TIMEOUT = 30  # seconds without a received byte


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on this machine. `path`: a folder or a file. `model`: its name in the config.

    `revision` identifies the content: the commit (40 hex digits) of a model of the hub, else `sha256:` and 16 hex
    digits. `licence`: an SPDX name, or "unknown" for a model that `published` does not list.
    """

    path: Path
    model: str
    revision: str
    licence: str

    def identity(self) -> dict[str, str]:
        """The part that results depend on, for tables' metadata and journals' keys. The path is not in it."""
        return {"model": self.model, "revision": self.revision}

    def about(self) -> dict[str, str]:
        """The identity and the licence, for people."""
        return {**self.identity(), "licence": self.licence}


# The folder of a model and the names of files found in it -> patterns of further files that the model needs.
Further = Callable[[Path, Sequence[str]], Sequence[str]]


def find_model(
    model: str, revision: str | None, files: Sequence[str], further: Further = lambda folder, found: ()
) -> Checkpoint:
    """The files of `model` that match the patterns `files`: of a folder, a single file, or fetched from the hub.

    `revision` is a commit, branch or tag of the hub; None is the published one, else the newest. `further` is asked for
    more patterns once these files are there. In a folder such files are part of the checksum only if `files` finds no
    weights: checksums of other folders stay as they were. Raises SetupError if the model, the revision or the files
    cannot be found; it says what was tried and what to do.
    """
    path = Path(model).expanduser()
    if path.is_file():
        return find_file(model, None)
    if path.is_dir():
        names = _names(path)
        chosen = _choose(names, files)
        if not _has_weights(chosen):
            chosen = _choose(names, (*files, *further(path, chosen)))
        _check_found(chosen, files, path)
        return Checkpoint(path, model, _as_revision(_digest(path, chosen)), "unknown")
    if model.startswith(("/", ".", "~")):
        raise SetupError(f"{model}: there is no such folder or file; correct the path, or name a model of the hub")
    entry = PUBLISHED.get(model)
    folder = _snapshot(model, revision or (entry.revision if entry else None), files, further)
    return Checkpoint(folder, model, folder.name, LICENCES.get(model, "unknown"))


def find_language_model(model: str, revision: str | None, trust_remote_code: bool) -> Checkpoint:
    """The files of a language model, and those of its own code only if `trust_remote_code`. See `find_model`."""
    files = (*LANGUAGE_FILES, *(REMOTE_CODE if trust_remote_code else ()))
    return find_model(model, revision, files, partial(_other_forms, trust_remote_code))


def find_installed(path: str | None, installed: Path, name: str, sha256: str | None, hint: str, key: str) -> Checkpoint:
    """The published file `name` at `path`, else where a target of the Makefile puts it.

    Raises SetupError if it is not there, with the `hint` and the `key` of the config that names another place, or if it
    is another file.
    """
    if path is None and not installed.is_file():
        raise SetupError(f"{installed}: {hint} in the folder of clipmill, or name the file in {key}")
    found = find_file(path or str(installed), sha256)
    return Checkpoint(found.path, name, found.revision, found.licence)


def find_file(where: str, sha256: str | None, cache: Path | None = None) -> Checkpoint:
    """The single file `where`: a local path, or an address (https://…) that is fetched once into `cache`.

    `cache` is <HF_HOME>/clipmill by default; a file that was put there by hand under its own name counts as fetched. An
    address may name a file in a zip archive: https://…/name.zip#name.pth. `sha256` (hex digits) is the checksum of the
    content; None is the published one, else that of the first download, which is stored beside it as `<name>.json`.
    Raises SetupError if the file does not exist, cannot be fetched, or has another checksum.
    """
    if where.startswith(("https://", "http://")):
        entry = PUBLISHED.get(where)
        path, digest = _fetched(where, sha256 or (entry.sha256 if entry else None), cache)
    else:
        path = Path(where).expanduser()
        if not path.is_file():
            raise SetupError(f"{where}: there is no such file; correct the path, or name an https address")
        digest = _digest(path.parent, [path.name])
        if sha256 and digest != sha256.lower():
            raise SetupError(f"{where}: its sha256 is {digest}, not {sha256}; take the right file or correct the sum")
    licence = next((entry.licence for entry in PUBLISHED.values() if entry.sha256 == digest), "unknown")
    return Checkpoint(path, where, _as_revision(digest), licence)


# --- reading ----------------------------------------------------------------------------------------------------------


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a pickle that holds nothing but tensors: by name, on the CPU.

    Raises SetupError for a pickle with code in it (the code is not run), an incomplete file, or a file that is no
    checkpoint.
    """
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise SetupError(f"{path}: there is no such file; correct the path, or fetch the model again")
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, weights_only=True, map_location="cpu")
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # a damaged file can raise any error in the readers
        if code := re.search(r"GLOBAL (\S+)|(TorchScript)", str(error)):
            raise SetupError(
                f"{path}: refused, it holds more than tensors ({code[1] or code[2]}); nothing of it was run. Take the "
                "published file, or one in .safetensors"
            ) from error
        raise SetupError(
            f"{path}: no checkpoint, or a damaged or half downloaded one ({_line(error)}); delete it and fetch it again"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise SetupError(f"{path}: does not hold tensors by name; take the published file")
    return dict(tensors)


def load_transformers(cls: type[Module], checkpoint: Checkpoint, **options: Any) -> Module:
    """A model of transformers with the checkpoint's weights: in float32, on the CPU, in evaluation mode, frozen.

    `options` go to `cls.from_pretrained`. Raises SetupError unless each of the model's weights is in the checkpoint, in
    its shape. Further weights are ignored (for example a text tower when only the vision tower is loaded).
    """
    import torch
    from transformers.utils import logging as reports

    reports.set_verbosity_error()  # errors are reported below, in one line
    reports.disable_progress_bar()
    if not (checkpoint.path / "config.json").is_file():  # without it transformers would use the class's default sizes
        raise SetupError(f"{checkpoint.path}: no config.json beside the weights; fetch {checkpoint.model} again")
    options = {"dtype": torch.float32, "local_files_only": True, "trust_remote_code": False, **options}
    try:
        model, found = cls.from_pretrained(
            checkpoint.path, weights_only=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    except (TypeError, AttributeError, MemoryError, PermissionError):
        raise
    except Exception as error:  # any error again; load_tensors says more about a damaged file
        for name in _choose(_names(checkpoint.path), MODEL_FILES):
            if name.endswith(WEIGHTS):
                load_tensors(checkpoint.path / name)
        raise SetupError(
            f"{checkpoint.path}: no whole checkpoint of a {cls.__name__} ({_line(error)}); "
            f"fetch {checkpoint.model} again, or name another model"
        ) from error
    wrong = {name: (tuple(have), tuple(want)) for name, have, want in found["mismatched_keys"]}
    _refuse(checkpoint.path, found["missing_keys"], wrong, found["error_msgs"])
    return model.eval().requires_grad_(False)


def check_tensors(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], where: Path, strict: bool = False
) -> None:
    """Raise SetupError unless each name of `wanted` is in `tensors` with that shape; `strict`: and no other name is."""
    shapes = {name: (tuple(tensors[name].shape), tuple(wanted[name])) for name in wanted.keys() & tensors.keys()}
    wrong = {name: (have, want) for name, (have, want) in shapes.items() if have != want}
    surplus = sorted(tensors.keys() - wanted.keys()) if strict else []
    _refuse(where, wanted.keys() - tensors.keys(), wrong, [f"{name} is not known" for name in surplus])


def _refuse(where: Path, missing: Iterable[str], wrong: Mapping[str, tuple], others: Iterable[str]) -> None:
    faults = [f"{name} is missing" for name in sorted(missing)]
    faults += [f"{name} has the shape {have}, not {want}" for name, (have, want) in sorted(wrong.items())]
    faults += others
    if faults:
        rest = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise SetupError(
            f"{where}: not the weights that this backend reads: {', '.join(faults[:3])}{rest}; take the published ones"
        )


def _line(error: BaseException) -> str:
    """An error in one short line; for a pickle only the text after torch's advice to trust the file."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__


# --- which files a model has ------------------------------------------------------------------------------------------


def _names(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _choose(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that match, sorted; without pickles if there are safetensors."""
    matching = sorted(name for name in names if any(fnmatch(name, pattern) for pattern in patterns))
    if any(name.endswith(".safetensors") for name in matching):
        return [name for name in matching if not name.endswith(PICKLES)]
    return matching


def _has_weights(names: Iterable[str]) -> bool:
    return any(name.endswith(WEIGHTS) for name in names)


def _other_forms(trust_remote_code: bool, folder: Path, found: Sequence[str]) -> list[str]:
    """Patterns of the files that a language model has in place of the usual ones.

    They are asked for only where the usual ones are missing. A model in two forms would be fetched twice, and with a
    tokenizer in two forms a library may prefer the other one, whose tokens differ. The forms:

    - other tokenizers
    - `hf_quant_config.json` of older ModelOpt; newer ones write it into config.json
    - weights of other names, in the root or in folders, by the index
    - Mistral's own form
    - a folder per part, as VILA has: the part `llm` is `llm_cfg` in config.json. Only its own code reads it.
    """
    config = _read_json(folder / "config.json")
    indexed = _read_json(folder / "model.safetensors.index.json").get("weight_map", {}).values()
    patterns = [escape(name) for name in sorted({*indexed} - {*found})]
    if not any(name in TOKENIZERS for name in found):
        patterns += OTHER_TOKENIZERS
    if "quantization_config" not in config:
        patterns.append("hf_quant_config.json")
    if not indexed and not _has_weights(found):
        patterns += MISTRAL_FILES
        if trust_remote_code:
            parts = [escape(key.removesuffix("_cfg")) for key in sorted(config) if key.endswith("_cfg")]
            patterns += [f"{part}/{file}" for part in parts for file in PART_FILES]
    return patterns


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no such file. Raises SetupError if it holds none."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SetupError(f"{path}: no JSON ({_line(error)}); fetch the model again") from error
    if not isinstance(values, dict):
        raise SetupError(f"{path}: no JSON object; fetch the model again")
    return values


def _check_found(names: Sequence[str], patterns: Sequence[str], folder: Path) -> None:
    """Raise SetupError if there are no files, or no weights although weights were asked for."""
    weights = [pattern for pattern in patterns if pattern.endswith(WEIGHTS)]
    if not names or (weights and not _has_weights(names)):
        raise SetupError(
            f"{folder}: holds no {' or '.join(weights or patterns)}; name a folder that does, or fetch the model again"
        )


def _digest(folder: Path, names: Sequence[str]) -> str:
    """sha256 of one file's content; of several files, of their names, sizes and contents (SPOTS of LARGE ones)."""
    digest = hashlib.sha256()
    for name in names:
        path = folder / name
        size = path.stat().st_size
        if len(names) > 1:
            digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
        with open(path, "rb") as file:
            if len(names) > 1 and size >= LARGE:
                for spot in range(SPOTS):
                    file.seek(spot * (size - PIECE // SPOTS) // (SPOTS - 1))
                    digest.update(file.read(PIECE // SPOTS))
                continue
            while piece := file.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()


def _as_revision(digest: str) -> str:
    return f"sha256:{digest[:16]}"


# --- fetching from the hub --------------------------------------------------------------------------------------------


def _snapshot(model: str, revision: str | None, files: Sequence[str], further: Further) -> Path:
    """The folder of the hub's cache with the model's files at that revision. Its name is the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, XetDownloadError
    from huggingface_hub.utils import httpx

    safe = tuple(pattern for pattern in files if not pattern.endswith(PICKLES))
    chosen: list[str] = []
    try:
        for patterns in dict.fromkeys((safe, tuple(files))):
            if patterns and not any(name.endswith(".safetensors") for name in chosen):
                folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))
                chosen = _choose(_names(folder), files)
        if more := further(folder, chosen):
            # of the same commit; with the files that are there, since the hub's library warns if nothing matches
            snapshot_download(model, revision=folder.name, allow_patterns=[*safe, *more])
            chosen = _choose(_names(folder), (*files, *more))
    except HFValidationError:
        raise SetupError(
            f"{model}: neither a folder or file of this machine nor the name of a model of the hub, as in owner/name"
        ) from None
    except (OSError, httpx.HTTPError, XetDownloadError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk
        at = f"{model} at {revision}" if revision else model
        raise SetupError(f"{at}: {_hub_message(error)}") from error
    _check_found(chosen, files, folder)
    return folder


def _hub_message(error: Exception) -> str:
    """Why the hub did not provide a model, and what to do."""
    from huggingface_hub import constants, errors

    hub = f"{constants.ENDPOINT} (HF_ENDPOINT)"
    fetch = "run `snakemake fetch_models` on a machine with internet and this HF_HOME, or name a folder in the config"
    cause = error.__cause__ or error
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return f"{hub} gives it to those it knows; ask for access on the model's page, then run `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{hub} has the model, but not this revision; name a commit, branch or tag of it"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return f"{hub} has no such model, or not for you; correct the name, or run `hf auth login` if it is private"
    if constants.is_offline_mode():
        return f"not, or not whole, in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids the network; {fetch}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return f"no such folder, not in {constants.HF_HUB_CACHE}, and no answer from {hub} ({_line(cause)}); {fetch}"
    return f"the download from {hub} broke off ({_line(error)}); run again, or {fetch}"


# --- fetching a file --------------------------------------------------------------------------------------------------


def _fetched(url: str, sha256: str | None, cache: Path | None) -> tuple[Path, str]:
    """Path and checksum of the cached file of `url`: fetched if it is missing, refused if its checksum is wrong."""
    from huggingface_hub import constants

    folder = cache or Path(constants.HF_HOME) / "clipmill"
    parts = urlsplit(url)
    name = PurePosixPath(parts.fragment or unquote(parts.path)).name
    if name in ("", "..") or name.endswith(".zip"):
        raise SetupError(f"{url}: name a file; one in a zip archive by # and its name there, as in name.zip#name.pth")
    path, note = folder / name, folder / f"{name}.json"
    first = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else None
    expected = sha256.lower() if sha256 else first and first["sha256"]
    if not path.is_file():
        with one_at_a_time(folder / f".{name}.lock", "another job that fetches the same file"):
            if not path.is_file():
                _fetch(url, path, expected)
    digest = _digest(folder, [name])
    if expected and digest != expected:
        known = f"as {note} remembers from the first time; delete both" if not sha256 else "as it should; delete it"
        raise SetupError(f"{path}: has the sha256 {digest}, not {expected} {known} and run again to fetch {url}")
    if not sha256 and first and first["url"] != url:
        raise SetupError(
            f"{path}: comes from {first['url']}, not from {url}; delete it and {note.name} beside it, or state the "
            "sha256 in the config"
        )
    if not expected:
        log.warning("%s: its checksum is not known; trusted from now on with the sha256 %s", path, digest)
        write_json(note, {"url": url, "sha256": digest})
    return path, digest


def _fetch(url: str, path: Path, expected: str | None) -> None:
    """Download `url` to `path`: the whole file with the expected checksum, or nothing."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session, httpx

    by_hand = f"or put the file at {path} yourself"
    if constants.is_offline_mode():
        raise SetupError(
            f"{url}: not in {path.parent}, and HF_HUB_OFFLINE forbids the network; run `snakemake fetch_models` on a "
            f"machine with internet and this HF_HOME, {by_hand}"
        )
    log.info("fetching %s", url)
    address, _, member = url.partition("#")
    with atomic(path) as temporary, tempfile.TemporaryFile(dir=path.parent) as received:
        try:
            with get_session().stream("GET", address, timeout=TIMEOUT) as response:
                response.raise_for_status()
                for piece in response.iter_bytes(PIECE):
                    received.write(piece)
            received.seek(0)
            with _opened(received, member) as source, open(temporary, "wb") as file:
                shutil.copyfileobj(source, file, PIECE)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SetupError(f"{url}: not fetched ({_line(error)}); run again with internet, {by_hand}") from error
        except (zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise SetupError(f"{url}: no zip archive with that in it ({_line(error)}); correct the address") from error
        digest = _digest(path.parent, [temporary.name])
        if expected and digest != expected:
            raise SetupError(f"{url}: gave a file with the sha256 {digest}, not {expected}; run again, {by_hand}")


@contextmanager
def _opened(received: IO[bytes], member: str) -> Iterator[IO[bytes]]:
    """The received file, or the member of the received zip archive."""
    if not member:
        yield received
        return
    with zipfile.ZipFile(received) as archive, archive.open(member) as file:
        yield file
