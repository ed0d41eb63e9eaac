"""From an image of any shape to a square."""

from PIL import Image

from harness.study.pixel_rules import Resize


def square(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    """Resize to a square of this side, bilinear with antialiasing.

    squash: the whole image, its sides scaled apart; crop: the largest square in its middle; letterbox: the whole image
    in its proportions, between black bars.
    """
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
