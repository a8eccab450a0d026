"""Encoded images of unusual kinds."""

import numpy as np
from PIL import Image

from tests.factories import encode

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2  # photometric interpretations of TIFF


def noise(mode: str = "RGB") -> Image.Image:
    """200 x 150 pixels that do not compress well."""
    values = np.random.default_rng(0).normal(128, 40, (150, 200, 3))
    return Image.fromarray(np.uint8(np.clip(values, 0, 255))).convert(mode)


def gif(*sizes: tuple[int, int], extensions: bool = False) -> bytes:
    """An animation with frames of these sizes, each with a color table of its own."""
    header, body = b"GIF89a" + (16).to_bytes(2, "little") * 2 + bytes(3), b""  # 16 x 16, no global color table
    for size in sizes:
        still = encode(Image.radial_gradient("L").resize(size), "GIF")
        table_end = 13 + (3 << (still[10] % 8 + 1))
        start = still.index(b",", table_end)
        descriptor = still[start : start + 9] + still[10:11]  # the flags: its global table becomes a local one
        body += b"!\xfe\x05a,b;c\x03,,,\x00" if extensions else b""
        body += descriptor + still[13:table_end] + still[start + 10 : -1]
    return header + body + b";"


def bmp(header: bytes, palette: bytes, rows: bytes) -> bytes:
    """A BMP with a header, a palette and rows of pixels."""
    start = 14 + len(header) + len(palette)
    size = start + len(rows)
    return b"BM" + size.to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little") + header + palette + rows


def little_endian(*values: int, size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


def bmp_info(bits: int, compression: int, num_colors: int, masks: bytes = b"") -> bytes:
    """BITMAPINFOHEADER of 8 x 8 pixels."""
    size, planes = little_endian(40, 8, 8, size=4), little_endian(1, bits, size=2)
    return size + planes + little_endian(compression, 0, 1, 1, num_colors, 0, size=4) + masks


def bmp_with_masks(image: Image.Image) -> bytes:
    """A 32-bit BMP whose channels are in the order ABGR, which TensorFlow takes for ARGB."""
    data = encode(image.convert("RGBA"), "BMP")
    masks = little_endian(0xFF, 0xFF00, 0xFF0000, 0xFF000000, size=4)  # red, green, blue, alpha
    bitfields = (3).to_bytes(4, "little")
    header = bytearray(data[:14] + (56).to_bytes(4, "little") + data[18:30] + bitfields + data[34:54] + masks)
    header[10:14] = len(header).to_bytes(4, "little")
    return bytes(header) + data[54:]


def tiff(samples: np.ndarray, photometric: int, num_extra: int = 0, tags: dict[int, int] | None = None) -> bytes:
    """An uncompressed TIFF of one strip: samples [height, width] or [height, width, bands], little-endian."""
    height, width, num_bands = samples.shape if samples.ndim == 3 else (*samples.shape, 1)
    sample_format = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    bits = samples.itemsize * 8
    values = {256: [width], 257: [height], 258: [bits] * num_bands, 259: [1], 262: [photometric], 273: [0]}
    values |= {277: [num_bands], 278: [height], 279: [samples.nbytes], 338: [0] * num_extra}
    values |= {339: [sample_format] * num_bands} | {tag: [value] for tag, value in (tags or {}).items()}
    entries = [(tag, numbers) for tag, numbers in sorted(values.items()) if numbers]
    start = 8 + 2 + 12 * len(entries) + 4  # of the numbers that do not fit into an entry
    values[273][0] = start + sum(4 * len(numbers) for _, numbers in entries if len(numbers) > 1)
    directory, behind = little_endian(len(entries), size=2), b""
    for tag, numbers in entries:
        packed = little_endian(*numbers, size=4)  # LONGs
        directory += little_endian(tag, 4, size=2) + little_endian(len(numbers), size=4)
        directory += packed if len(numbers) == 1 else little_endian(start + len(behind), size=4)
        behind += packed if len(numbers) > 1 else b""
    return b"II*\0" + little_endian(8, size=4) + directory + bytes(4) + behind + samples.tobytes()


LEGACY_BMPS = {  # red above and green below; rows are stored from the bottom up
    "16 bits, 5-5-5": bmp(bmp_info(16, 0, 0), b"", little_endian(*[0x03E0] * 32, *[0x7C00] * 32, size=2)),
    "16 bits, 5-6-5": bmp(
        bmp_info(16, 3, 0, little_endian(0xF800, 0x07E0, 0x001F, size=4)),
        b"",
        little_endian(*[0x07E0] * 32, *[0xF800] * 32, size=2),
    ),
    "OS/2": bmp(
        little_endian(12, size=4) + little_endian(8, 8, 1, 8, size=2),
        bytes([0, 255, 0, 0, 0, 255]),
        bytes([0] * 32 + [1] * 32),
    ),
    "8 bits, run-length encoded": bmp(
        bmp_info(8, 1, 2), bytes([0, 255, 0, 0, 0, 0, 255, 0]), bytes([8, 0, 0, 0] * 4 + [8, 1, 0, 0] * 4 + [0, 1])
    ),
    "4 bits, run-length encoded": bmp(
        bmp_info(4, 2, 2), bytes([0, 255, 0, 0, 0, 0, 255, 0]), bytes([8, 0, 0, 0] * 4 + [8, 0x11, 0, 0] * 4 + [0, 1])
    ),
}
