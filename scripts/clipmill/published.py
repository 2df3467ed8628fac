"""What is known of the published models: where they are, under which licence, and what their content hashes to.

Read in public sources, as each entry says; none of the files was downloaded here. A checksum that was found nowhere is
None: see `checkpoints` for what happens then.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A model that anyone can have. `licence`: SPDX name. `source`: where that and the rest were read.

    `revision`: commit on the hub, 40 hex digits. `sha256`: of the single file that is used, 64 hex digits.
    """

    licence: str
    source: str
    revision: str | None = None
    sha256: str | None = None


# The heads of the aesthetic scores at a commit each, and EasyOCR's text detector; # names a file in a zip archive.
SIGLIP_HEAD = (
    "https://github.com/discus0434/aesthetic-predictor-v2-5/raw/3125a9e1f275092432ffc336f2908eda812c373c"
    "/models/aesthetic_predictor_v2_5.pth"
)
LAION_HEAD = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/6934dd81792f086e613a121dbce43082cb8be85e"
    "/sac+logos+ava1-l14-linearMSE.pth"
)
CRAFT = "https://github.com/JaidedAI/EasyOCR/releases/download/pre-v1.1.6/craft_mlt_25k.zip#craft_mlt_25k.pth"

_CLIP = "the model card names no licence; MIT is that of github.com/openai/CLIP, whose weights these are"
_DINOV2 = "model card (Apache-2.0 since its commit 369b130 of 2023-09-06); commit: mteb's list of models"

# By what a config names.
PUBLISHED: dict[str, Published] = {
    "google/siglip-so400m-patch14-384": Published(
        "Apache-2.0", "model card; commit: its main branch", revision="9fdffc58afc957d1a03a25b10dba0329ab15c2a3"
    ),
    "openai/clip-vit-large-patch14": Published("MIT", _CLIP, revision="32bd64288804d66eefd0ccbe215aa642df71cc41"),
    "openai/clip-vit-large-patch14-336": Published("MIT", _CLIP, revision="ce19dc912ca5cd21c8a653c79e251e808ccabcd1"),
    "facebook/dinov2-small": Published("Apache-2.0", _DINOV2, revision="ed25f3a31f01632728cabb09d1542f84ab7b0056"),
    "facebook/dinov2-base": Published("Apache-2.0", _DINOV2, revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415"),
    "facebook/dinov2-large": Published("Apache-2.0", _DINOV2, revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c"),
    "alibaba-pai/VideoCLIP-XL-v2": Published(
        "CC-BY-NC-SA-4.0",
        "model card; commit and checksum of VideoCLIP-XL-v2.bin: the commit that added it (its Git LFS pointer)",
        revision="757339e1547e40d782e636767d8e6b19c2cc42b9",
        sha256="4b51b9311c2cd38a6f35f705a4cc6076764d0a9f6164b67b945b03a82fb79123",
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
