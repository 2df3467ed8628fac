"""What trainers do with a video file: whether they take it, which of its frames they see, how fast, and how large.

Each function restates the rule of one trainer, from its code at the commit that its docstring names. It knows nothing
of clipmill: it is given the facts of a file, and what the config says that the trainer reads. Nothing is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True)
class File:
    """The facts of a video file. `rate`: its average rate, as FFmpeg tells it."""

    frames: int
    rate: Fraction
    size: Size = (832, 480)
    codec: str = "h264"


@dataclass(frozen=True)
class Seen:
    """What a model is trained on: frames of the file by their indices, played at `rate`.

    The picture is scaled to `scaled`, then cropped to `size`. Both are None where the function does not say them.
    """

    indices: tuple[int, ...]
    rate: Fraction
    size: Size | None = None
    scaled: Size | None = None

    def speed(self, file: File) -> float:
        """How fast the model sees the film: 1 is right, 2 is twice as fast."""
        if len(self.indices) < 2:
            return 1.0
        filmed = (self.indices[-1] - self.indices[0]) / file.rate
        played = (len(self.indices) - 1) / self.rate
        return float(filmed / played)

    def drift(self, file: File) -> float:
        """By how many frames of the file the film is early or late, at the most, in the time that the model sees."""
        shown = np.arange(len(self.indices)) / float(self.rate) * float(file.rate)
        return float(np.abs(np.array(self.indices) - self.indices[0] - shown).max())

    def is_whole(self, file: File) -> bool:
        """Whether these are all frames of the file, each once."""
        return self.indices == tuple(range(file.frames))


DECORD_CODECS = {"h264", "hevc", "mpeg4", "vp8"}  # decord 0.6 opens no AV1, and fails at VP9 with its usual threads


# --- trainers that convert the frame rate -----------------------------------------------------------------------------


def musubi_tuner(file: File, dataset: Mapping[str, Any], model_rate: float) -> Seen | None:
    """kohya-ss/musubi-tuner 30c658c, src/musubi_tuner/dataset/: image_video_dataset.py, bucket.py, media_utils.py.

    `dataset`: a section `[[datasets]]`. `model_rate`: 16 for Wan, 24 for HunyuanVideo and Kandinsky, 30 for FramePack.
    `VideoDataset.__init__` rounds `target_frames` down to 4n+1, and with `head` reads at most the largest of them.
    `load_video` steps through the file: with `source_fps` each frame has the place int(i × model / source), added up in
    floats; a second frame of the same place is dropped, and places are left out where the file is slower.
    `retrieve_latent_cache_batches` takes the head for each target that is filled, and sorts by a `BucketSelector` that
    is made without `enable_bucket` and `bucket_no_upscale`.
    """
    assert dataset["frame_extraction"] == "head"
    (wanted,) = {(frames - 1) // 4 * 4 + 1 for frames in dataset["target_frames"]}
    source = dataset.get("source_fps")
    assert source is None or isinstance(source, float), "its schema refuses whole numbers"
    read, place, previous = [], 0.0, -1
    for index in range(file.frames):
        target = index if source is None else int(place)
        place += 0.0 if source is None else model_rate / source
        if target == previous:
            continue
        previous = target
        if target >= wanted:
            break
        read.append(index)
    if len(read) < wanted:
        return None
    size = _musubi_bucket(file.size, dataset["resolution"])
    return Seen(tuple(read[:wanted]), Fraction(model_rate), size, _cover(file.size, size))


def _musubi_bucket(size: Size, resolution: Sequence[int], step: int = 16) -> Size:
    area = resolution[0] * resolution[1]
    edge = int(math.sqrt(area))
    buckets = set()
    for short in range(edge // 2 - edge // 2 % step, edge + step, step):
        long = area // short - area // short % step
        buckets |= {(short, long), (long, short)}
    ratio = size[0] / size[1]
    return min(sorted(buckets), key=lambda bucket: abs(bucket[0] / bucket[1] - ratio))


def diffusion_pipe(
    file: File,
    directory: Mapping[str, Any],
    top: Mapping[str, Any],
    model_rate: float,
    multiple: int = 16,
    step: int = 4,
) -> Seen | None:
    """tdrussell/diffusion-pipe 8f83dbf, utils/dataset.py (`DirectoryDataset`), models/base.py (`PreprocessMediaFile`).

    `directory`: a section `[[directory]]`; `top`: what stands above all sections. `model_rate`: 16 for Wan (5B 24), 24
    for HunyuanVideo and LTX-2, 25 for LTX-Video. `multiple` of the sides and `step` of the frames: 32 and 8 for LTX-2.
    A clip counts as int(frames × model / average rate). It gets the largest of `frame_buckets` that is no larger, and
    is skipped where that is 1. `convert_framerate` spreads the counted frames over the file, by a linspace of 32-bit
    floats, and `single_beginning` takes the first of them. With `size_buckets` the aspect ratios are made unique, but
    index the list all the same: so only lists of one are restated here.
    """
    counted = int(file.frames * model_rate / float(file.rate))
    if "size_buckets" in directory:
        ((width, height, frames),) = directory["size_buckets"]
        if counted < frames:
            return None
    else:
        resolution = directory.get("resolutions", top["resolutions"])  # it asks for that at the top in any case
        buckets = directory.get("frame_buckets", top.get("frame_buckets", []))
        fitting = [frames for frames in {1, *buckets} if frames <= counted]
        frames = max(fitting, default=1)
        if frames == 1:
            return None
        ratio = _diffusion_pipe_ratio(file.size, {**top, **directory})
        ((width, height),) = {_diffusion_pipe_size(one, ratio, multiple) for one in resolution}
    width, height = (round(side / multiple) * multiple for side in (width, height))
    frames = (frames - 1) // step * step + 1
    indices = _spread(file.frames - 1, counted)[:frames]
    return Seen(indices, Fraction(model_rate), (width, height), _cover(file.size, (width, height)))


def _diffusion_pipe_ratio(size: Size, config: Mapping[str, Any]) -> float:
    assert config["enable_ar_bucket"]
    if "ar_buckets" in config:
        ratios = [one if isinstance(one, float | int) else one[0] / one[1] for one in config["ar_buckets"]]
    else:
        ratios = list(np.geomspace(config["min_ar"], config["max_ar"], num=config["num_ar_buckets"]))
    known = sorted({round(ratio, 3) for ratio in ratios})
    return min(known, key=lambda ratio: abs(math.log(size[0] / size[1]) - math.log(ratio)))


def _diffusion_pipe_size(resolution: float | Sequence[int], ratio: float, multiple: int) -> Size:
    edge = resolution if isinstance(resolution, int | float) else math.sqrt(resolution[0] * resolution[1])
    width = math.sqrt(edge**2 * ratio)
    return round(width / multiple) * multiple, round(edge**2 / width / multiple) * multiple


def fastvideo(
    file: File, entry: Mapping[str, Any], frames: int, train_rate: float, largest: Size, tolerance: float = 5.0
) -> Seen | None:
    """hao-ai-lab/FastVideo 2f3d407, fastvideo/workflow/preprocess/components.py.

    And fastvideo/pipelines/preprocess/preprocess_stages.py. `entry`: of videos2caption.json, which is believed.
    `frames`, `train_rate`, `largest`, `tolerance`: the arguments num_frames, train_fps, max_width and max_height,
    video_length_tolerance_range. Too long videos are skipped. Frames are those at arange(0, num_frames, fps /
    train_fps), cut down to whole numbers, and the first of them. A video that has too few makes a shorter clip, which
    fits no batch: it counts as skipped here.
    """
    if not entry["cap"] or not {"width", "height"} <= entry["resolution"].keys():
        return None
    if entry["num_frames"] / entry["fps"] > tolerance * frames / train_rate:
        return None
    found = np.arange(0, entry["num_frames"], entry["fps"] / train_rate).astype(int)[:frames]
    if len(found) < frames or found[-1] >= file.frames:
        return None
    return Seen(tuple(int(index) for index in found), Fraction(train_rate), largest)


# --- trainers that read the frames as they come -----------------------------------------------------------------------


def ltx_trainer(file: File, buckets: Sequence[tuple[int, int, int]]) -> Seen | None:
    """Lightricks/LTX-2 400fd31, packages/ltx-trainer/scripts/process_videos.py (`MediaDataset`), video_utils.py.

    `buckets`: of --resolution-buckets, as (width, height, frames); 8n+1 frames and multiples of 32. The first frames of
    the file; the rate of the file is stored with them, and the model is told it. Of the buckets that the frames fill,
    the nearest in aspect ratio, then the longest, then the largest.
    """
    assert all(width % 32 == height % 32 == 0 and frames % 8 == 1 for width, height, frames in buckets)
    have = min(file.frames, max(frames for _, _, frames in buckets))
    filled = [bucket for bucket in buckets if bucket[2] <= have]
    if not filled:
        return None
    ratio = math.log(file.size[0] / file.size[1])
    width, height, frames = min(
        filled, key=lambda one: (abs(ratio - math.log(one[0] / one[1])), -one[2], -one[0] * one[1])
    )
    return Seen(tuple(range(frames)), file.rate, (width, height), _cover(file.size, (width, height)))


def diffsynth(
    file: File, frames: int, size: Size, model_rate: Fraction, step: int = 4, convert: bool = False
) -> Seen | None:
    """modelscope/DiffSynth-Studio fed7b18, diffsynth/core/data/operators.py (`LoadVideo`, `ImageCropAndResize`).

    `frames`, `size`: the arguments num_frames, width and height. A shorter file gives the largest number of its frames
    that is a multiple of `step` plus 1. Frame by frame; with `convert` (examples/ltx2, with a `step` of 8) the frame
    nearest to each time.
    """
    have = file.frames
    if convert:
        have = math.floor(float(file.frames / file.rate) * float(model_rate))
    count = min(frames, have)
    while have < frames and count > 1 and count % step != 1:
        count -= 1
    indices = range(count)
    if convert:
        indices = [min(round(index / float(model_rate) * float(file.rate)), file.frames - 1) for index in indices]
    return Seen(tuple(indices), model_rate, size, _cover(file.size, size))


def simpletuner(file: File, dataset: Mapping[str, Any], model_rate: Fraction) -> Seen | None:
    """bghira/SimpleTuner bc8e6ab, simpletuner/helpers/: metadata/backends/base.py, caching/vae.py.

    `dataset`: an entry of --data_backend_config. Files with fewer frames than `video.min_frames` are skipped
    (`meets_resolution_requirements`), and of the others the first `video.num_frames` are trained, at any rate.
    """
    video = dataset["video"]
    if file.frames < video["min_frames"]:
        return None
    return Seen(tuple(range(min(video["num_frames"], file.frames))), model_rate)


def videox_fun(
    file: File, entry: Mapping[str, Any], frames: int, stride: int, model_rate: Fraction, begin: float = 0.0
) -> Seen | None:
    """aigc-apps/VideoX-Fun 804a425, videox_fun/data/dataset_image_video.py (`ImageVideoDataset`).

    aigc-apps/EasyAnimate c2a70d1, easyanimate/data/dataset_image_video.py, has the same rule. `frames`, `stride`: the
    arguments video_sample_n_frames and video_sample_stride. A file gives as many frames as it has, over the stride, at
    most `frames`, from a random beginning: `begin` is which of those there are, from 0 to 1. The rate of the file does
    not matter. decord reads the file.
    """
    if entry["type"] != "video" or file.codec not in DECORD_CODECS:
        return None
    count = min(frames, file.frames // stride)
    if count == 0:
        return None
    length = min(file.frames, (count - 1) * stride + 1)
    first = round(begin * (file.frames - length))
    indices = np.linspace(first, first + length - 1, count, dtype=int)
    return Seen(tuple(int(index) for index in indices), model_rate)


def videox_fun_with_sound(
    file: File, entry: Mapping[str, Any], sound: float, frames: int, stride: int = 1, begin: float = 0.0
) -> Seen | None:
    """aigc-apps/VideoX-Fun 804a425, videox_fun/data/dataset_video.py (`VideoSpeechDataset`), for LTX-2.3.

    `sound`: seconds of the file at `audio_path`. It must last from the first to the last frame, or the file is skipped.
    The stride grows until the rate is at most 30, and the model is told the rate, cut down to a whole number.
    """
    if "audio_path" not in entry or file.codec not in DECORD_CODECS:
        return None
    while int(file.rate // stride) > 30:
        stride += 1
    count = min(frames, (file.frames - 1) // stride + 1)
    first = round(begin * max(file.frames - (count - 1) * stride - 1, 0))
    rate = 16000
    start = round(float(first / file.rate) * rate)
    if start + round(float((count - 1) * stride / file.rate) * rate) > sound * rate:
        return None
    return Seen(tuple(first + index * stride for index in range(count)), Fraction(int(file.rate // stride)))


# --- trainers that spread the frames over the file --------------------------------------------------------------------


def finetrainers(file: File, dataset: Mapping[str, Any], model_rate: Fraction) -> Seen | None:
    """a-r-r-o-w/finetrainers f476c37, finetrainers/functional/video.py, data/dataset.py.

    `dataset`: of training.json. Of the buckets that the file's frames fill those with the most frames, then the nearest
    in aspect ratio; a longer file gives frames that are spread over it by a linspace. decord reads the file. One that
    is shorter than all buckets keeps its frames, which fit no batch: it counts as skipped here.
    """
    if file.codec not in DECORD_CODECS:
        return None
    filled = [bucket for bucket in dataset["video_resolution_buckets"] if bucket[0] <= file.frames]
    if not filled:
        return None
    most = max(bucket[0] for bucket in filled)
    ratio = file.size[0] / file.size[1]
    frames, height, width = min(
        (bucket for bucket in filled if bucket[0] == most),
        key=lambda bucket: (abs(bucket[2] / bucket[1] - ratio), -bucket[1], -bucket[2]),
    )
    indices = _spread(file.frames - 1, frames) if file.frames > frames else tuple(range(frames))
    scaled = _cover(file.size, (width, height)) if dataset["reshape_mode"] == "resize_crop" else (width, height)
    return Seen(indices, model_rate, (width, height), scaled)


def diffusers_cogvideo(file: File, model_rate: Fraction, frames: int = 49, size: Size = (720, 480)) -> Seen | None:
    """huggingface/diffusers 58eb52c, examples/cogvideo/train_cogvideox_lora.py (`VideoDataset._preprocess_data`).

    `frames`, `size`: the arguments max_num_frames, width and height. A longer file is read in steps of frames // N; a
    rest beyond 4n+1 is dropped. decord reads the file.
    """
    if file.codec not in DECORD_CODECS:
        return None
    step = 1 if file.frames <= frames else file.frames // frames
    indices = list(range(0, file.frames, step))[:frames]
    rest = (3 + len(indices) % 4) % 4
    return Seen(tuple(indices[: len(indices) - rest]), model_rate, size, _cover(file.size, size))


def ai_toolkit(file: File, dataset: Mapping[str, Any], model_rate: Fraction, begin: float = 0.0) -> Seen:
    """ostris/ai-toolkit 27a03a9, toolkit/dataloader_mixins.py (`load_and_process_video`), toolkit/buckets.py.

    `dataset`: an entry of `datasets`. Without `shrink_video_to_frames: false`, or in a file with too few frames, the
    frames are spread over the whole file. Else it takes every n-th frame, n rounded, from a random beginning: see
    `videox_fun`. No file is skipped. Sizes have about the area of `resolution` and the file's aspect ratio.
    """
    frames, last = dataset["num_frames"], file.frames - 1
    step = max(1, round(float(file.rate) / dataset.get("fps", 24)))
    if dataset.get("shrink_video_to_frames", True) or file.frames // step < frames:
        indices = [min(round(index * last / (frames - 1)), last) for index in range(frames)]
    else:
        first = round(begin * (last - (frames - 1) * step))
        indices = [first + index * step for index in range(frames)]
    (edge,) = dataset["resolution"]
    size = _ai_toolkit_size(file.size, edge, dataset.get("bucket_tolerance", 64))
    return Seen(tuple(indices), model_rate, size, _cover(file.size, size))


def _ai_toolkit_size(size: Size, edge: int, step: int) -> Size:
    area = min(size[0] * size[1], edge**2)
    scale = math.sqrt(area / (size[0] * size[1]))
    width, height = (side * scale / step for side in size)
    near = [
        (across * step, down * step)
        for across in (math.floor(width), math.ceil(width))
        for down in (math.floor(height), math.ceil(height))
    ]
    fitting = [one for one in near if 0 < one[0] * one[1] <= edge**2]
    return min(fitting, key=lambda one: abs(one[0] * one[1] - area))


def _spread(last: int, count: int) -> tuple[int, ...]:
    """`torch.linspace(0, last, count)`, cut down to whole numbers: 32-bit floats, counted from both ends."""
    step = float(np.float32(last) / np.float32(max(count - 1, 1)))
    places = np.arange(count)
    values = np.where(places < count // 2, step * places, last - step * (count - 1 - places))
    return tuple(int(value) for value in values.astype(np.float32))


def _cover(size: Size, wanted: Size) -> Size:
    """`size` scaled to cover `wanted`."""
    scale = max(wanted[0] / size[0], wanted[1] / size[1])
    return round(size[0] * scale), round(size[1] * scale)
