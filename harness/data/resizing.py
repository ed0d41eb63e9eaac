"""From an image of any shape to a square."""

import math

from PIL import Image

from harness.study.preprocessing import EvalTransform, eval_transform


def square(image: Image.Image, size: int, resize: str) -> Image.Image:
    """Resize to a square of this side, with antialiasing: bilinear, or by one of timm's transforms for evaluation.

    squash: the whole image, its sides scaled apart; crop: the largest square in its middle; letterbox: the whole image
    in its proportions, between black bars; bicubic-center-0.9 and the like: as `timm.data.create_transform` does.
    """
    transform = eval_transform(resize)
    if transform is not None:
        return _transformed(image, size, transform)
    if resize == "crop":
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    if resize == "letterbox":
        inner = [max(1, round(length * size / max(image.size))) for length in image.size]
        bars = Image.new(image.mode, (size, size))
        small = image.resize((inner[0], inner[1]), Image.Resampling.BILINEAR)
        bars.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return bars
    return image.resize((size, size), Image.Resampling.BILINEAR)


def _transformed(image: Image.Image, size: int, transform: EvalTransform) -> Image.Image:
    """The square that timm's transform gives, with torchvision's rounding. Raises ValueError for too long an image."""
    side, (width, height) = math.floor(size / transform.crop_pct), image.size
    if transform.mode == "center":
        short = min(width, height)
        scaled = (int(side * width / short), int(side * height / short))
    else:
        scaled = (side, side)
    if math.prod(scaled) > (Image.MAX_IMAGE_PIXELS or 2**63):
        raise ValueError(f"{width} x {height} pixels are too long for a shorter side of {side} px")
    resized = image if scaled == image.size else image.resize(scaled, Image.Resampling[transform.interpolation.upper()])
    left, top = (_start(length, size) for length in scaled)
    return resized.crop((left, top, left + size, top + size))


def _start(length: int, size: int) -> int:
    """Where the middle of a side begins; before it, in black, where the side is shorter."""
    return round((length - size) / 2.0) if length >= size else -((size - length) // 2)
