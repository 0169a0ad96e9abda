"""What is written into a picture's corner: the task, the time, and how the episode ended."""

from __future__ import annotations

from typing import Optional

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mapush.rendering.episode import EXCEPTION, SUCCESS, TIMEOUT

_OUTCOME_COLORS = {SUCCESS: (20, 122, 78), EXCEPTION: (184, 38, 52), TIMEOUT: (70, 76, 88)}
_RUNNING_COLOR = (52, 58, 70)


def caption(picture: np.ndarray, name: str, seconds: float, outcome: Optional[str]) -> np.ndarray:
    """Write into a picture's corner.

    Args:
        picture: (height, width, 3), uint8; it is left as it is.
        name: of the task.
        seconds: of the episode.
        outcome: how it ended, in the last picture; None before.

    Returns:
        Another picture, read only.
    """
    image = Image.fromarray(np.ascontiguousarray(picture))
    text = f"{name}   {seconds:4.1f} s"
    color = _RUNNING_COLOR
    if outcome is not None:
        text, color = f"{text}   {outcome}", _OUTCOME_COLORS[outcome]
    height = max(11, picture.shape[0] // 28)
    font = ImageFont.load_default(height)
    pen = ImageDraw.Draw(image)
    place, pad = (height, height), height // 2
    left, top, right, bottom = pen.textbbox(place, text, font=font)
    pen.rounded_rectangle((left - pad, top - pad, right + pad, bottom + pad), pad, fill=color)
    pen.text(place, text, font=font, fill=(255, 255, 255))
    return np.asarray(image)
