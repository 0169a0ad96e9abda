"""Pictures into files that appear whole or not at all: H.264 video, GIF, WebP, PNG."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterable, Iterator, Sequence, Tuple

import imageio_ffmpeg
import numpy as np
from PIL import Image

from mapush.errors import RequestError, StorageError
from mapush.files import free_bytes, fsync_directory, hidden_sibling, make_directory, storage_errors

Size = Tuple[int, int]  # width and height, pixels


def write_video(pictures: Iterable[np.ndarray], path: Path, fps: int, size: Size) -> None:
    """Encode pictures (height, width, 3) as H.264 that browsers play; whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    make_directory(path.parent)
    with _appearing(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            size,
            fps=fps,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=6,
            output_params=["-movflags", "+faststart", "-f", "mp4"],
        )
        count = 0
        try:
            writer.send(None)
            for picture in pictures:
                writer.send(np.ascontiguousarray(picture))
                count += 1
        except OSError as error:
            raise _ffmpeg_error(path) from error
        finally:
            writer.close()
        # A disk that is full only when ffmpeg writes its index goes unreported otherwise.
        try:
            written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
        except RuntimeError as error:
            raise _ffmpeg_error(path) from error
        if written != count:
            raise _ffmpeg_error(path)


def _ffmpeg_error(path: Path) -> StorageError:
    # ffmpeg's own words run over many lines.
    return StorageError(
        f"{path}: ffmpeg could not write it; {free_bytes(path.parent):,} bytes are free there; "
        "free some space or choose another path"
    )


def write_animation(pictures: Sequence[np.ndarray], path: Path, fps: int, colors: int = 96) -> None:
    """Write pictures as an endless animation, `.gif` or `.webp`; whole or not at all.

    Args:
        pictures: (height, width, 3) each.
        path: its ending chooses the format.
        fps: pictures per second; a GIF counts in hundredths of a second.
        colors: of a GIF, the same for all its pictures, so that what stands still costs nothing.

    Raises:
        RequestError: the ending is neither.
        StorageError: the file cannot be written.
    """
    frames = [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
    options = {"save_all": True, "loop": 0, "duration": round(1000 / fps)}
    if path.suffix == ".gif":
        palette = _joint_palette(frames, colors)
        frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        options.update(optimize=True, disposal=1)
    elif path.suffix == ".webp":
        options.update(quality=60, method=6, minimize_size=True)
    else:
        raise RequestError(f"{path}: an animation ends in .gif or .webp")
    make_directory(path.parent)
    with _appearing(path) as temporary:
        frames[0].save(temporary, path.suffix[1:], append_images=frames[1:], **options)


def write_still(picture: np.ndarray, path: Path) -> None:
    """Write a picture as PNG; whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    make_directory(path.parent)
    with _appearing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(picture)).save(temporary, "png", optimize=True)


@contextlib.contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A hidden sibling to write, which takes the name `path` when the block ends well."""
    temporary = hidden_sibling(path)
    with storage_errors(path):
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        fsync_directory(path.parent)


def _joint_palette(frames: Sequence[Image.Image], colors: int) -> Image.Image:
    """One palette for all frames, from a few of them side by side."""
    chosen = [frames[round(share * (len(frames) - 1))] for share in (0.0, 0.35, 0.7, 1.0)]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width, height * len(chosen)))
    for index, frame in enumerate(chosen):
        sheet.paste(frame, (0, index * height))
    return sheet.quantize(colors, method=Image.Quantize.MEDIANCUT)
