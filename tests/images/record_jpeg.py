"""Records which JPEGs Pillow reads, whole and damaged, and as what pixels, for tests/tests/images/jpeg.rs.

`jpeg/NAME.jpg` are whole files and `jpeg/NAME.png` Pillow's pixels of them. `jpeg.json` lists cases, each put together from
pieces of those files, of bytes in hexadecimal and of zeros, and whether Pillow reads it. Run with Pillow 13.0.0 and numpy.
"""

import io
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

HERE = Path(__file__).parent
FILES = HERE / "jpeg"
SOI, EOI = "ffd8", "ffd9"


def picture(width, height, mode="RGB", noise=10):
    """A picture of slopes, with some noise so that its file has something to lose."""
    y, x = np.mgrid[0:height, 0:width]
    slopes = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height), x * y % 64]
    levels = np.stack(slopes[: 4 if mode == "CMYK" else 3], -1)
    levels = levels + np.random.default_rng(0).normal(0, noise, levels.shape)
    levels = levels.clip(0, 255).astype(np.uint8)
    return Image.fromarray(levels, "CMYK" if mode == "CMYK" else "RGB").convert(mode)


def jpeg(image, **settings):
    out = io.BytesIO()
    image.save(out, "JPEG", **settings)
    return out.getvalue()


def segments(file):
    """The place and the length of each segment before the scan, by its marker."""
    places, place = {}, 2
    while True:
        marker, length = file[place + 1], struct.unpack(">H", file[place + 2 : place + 4])[0]
        places.setdefault(marker, (place, length + 2))
        place += length + 2
        if marker == 0xDA:
            return places


def without(file, marker):
    place, length = segments(file)[marker]
    return file[:place] + file[place + length :]


colour, cmyk = picture(56, 40, noise=16), picture(24, 16, "CMYK", 2)
ADOBE = 0xEE
whole = {
    "baseline": jpeg(colour, quality=85, optimize=True),
    "progressive": jpeg(colour, quality=85, progressive=True),
    "grey": jpeg(picture(21, 13, "L")),
    "full-colour": jpeg(picture(17, 9), subsampling=0),
    "half-colour": jpeg(picture(17, 9), subsampling=1),
    "restarts": jpeg(picture(48, 32), restart_marker_blocks=1, optimize=True),
    "progressive-restarts": jpeg(picture(48, 16), restart_marker_blocks=1, progressive=True),
    "rgb": jpeg(picture(17, 9), keep_rgb=True),
    "dot": jpeg(picture(1, 1)),
    "cmyk": jpeg(cmyk, quality=95),
    "progressive-cmyk": jpeg(cmyk, quality=95, progressive=True),
}
# The last byte of Adobe's segment says YCCK.
place, length = segments(whole["cmyk"])[ADOBE]
last = place + length - 1
whole["ycck"] = whole["cmyk"][:last] + b"\2" + whole["cmyk"][last + 1 :]
whole["cmyk-without-adobe"] = without(whole["cmyk"], ADOBE)

shutil.rmtree(FILES, ignore_errors=True)
FILES.mkdir()
cases = {}


def part(name, start=0, end=None):
    return {"file": name, "from": start, "to": len(whole[name]) if end is None else end}


def case(name, *pieces):
    assert name not in cases, name
    cases[name] = list(pieces)


for name, file in whole.items():
    (FILES / f"{name}.jpg").write_bytes(file)
    case(name, part(name))
    case(f"{name} without end mark", part(name, 0, len(file) - 2))
    case(f"{name}, bytes behind the end mark", part(name), {"hex": "53454654"}, {"zeros": 64})
for name in ["baseline", "progressive", "restarts"]:
    length = len(whole[name])
    for percent in range(0, 100, 5):
        case(f"{percent}% of {name}", part(name, 0, length * percent // 100))
    half = part(name, 0, length // 2)
    case(f"{name}, half of it zeros", half, {"zeros": length - length // 2})
    case(f"{name}, half of it and an end mark", half, {"hex": EOI})
    case(f"{name}, half of it and the whole", half, part(name))
    hole = part(name, length // 2 + 40)
    case(f"{name}, zeros within", half, {"zeros": 40}, hole)
    case(f"{name}, half an end mark", part(name, 0, length - 1))
    case(f"{name} twice", part(name), part(name))
    case(f"{name} behind a mark of its own", {"hex": SOI}, part(name))

    scan = segments(whole[name])[0xDA][0]
    frame = segments(whole[name])[0xC2 if name == "progressive" else 0xC0][0]
    fill = {"hex": "ff" * 5}
    case(f"{name}, fill bytes", part(name, 0, scan), fill, part(name, scan, length - 2), fill, {"hex": EOI})
    junk = {"hex": "0102030405"}
    case(f"{name}, bytes between segments", part(name, 0, scan), junk, part(name, scan))
    comment = {"hex": "fffe0006" + b"last".hex()}
    case(f"{name}, a comment behind the scan", part(name, 0, length - 2), comment, {"hex": EOI})
    thumbnail = b"Exif\0\0" + whole["dot"]
    exif = {"hex": "ffe1" + struct.pack(">H", len(thumbnail) + 2).hex()}, {"hex": thumbnail.hex()}
    head, rest = part(name, 0, 2), part(name, 2)
    case(f"{name}, a thumbnail", head, *exif, rest)
    case(f"{name}, a thumbnail, no end mark", head, *exif, part(name, 2, length - 2))
    case(f"{name}, a thumbnail, half of it", head, *exif, part(name, 2, length // 2))
    case(f"{name}, no scan", part(name, 0, scan), {"hex": EOI})
    case(f"{name} of 12 bits", part(name, 0, frame + 4), {"hex": "0c"}, part(name, frame + 5))
    case(f"{name} without height", part(name, 0, frame + 5), {"hex": "0000"}, part(name, frame + 7))
    # What Pillow reads and the reader refuses: see the test.
    case(f"{name}, zeros for the end mark", part(name, 0, length - 2), {"zeros": 64})
    case(f"{name}, arithmetic coding", part(name, 0, frame + 1), {"hex": "c9"}, part(name, frame + 2))
    lines = {"hex": "ffdc0004" + whole[name][frame + 5 : frame + 7].hex()}
    case(f"{name}, number of lines behind the scan", part(name, 0, length - 2), lines, {"hex": EOI})


def put_together(pieces):
    parts = []
    for piece in pieces:
        if "file" in piece:
            parts.append(whole[piece["file"]][piece["from"] : piece["to"]])
        elif "hex" in piece:
            parts.append(bytes.fromhex(piece["hex"]))
        else:
            parts.append(bytes(piece["zeros"]))
    return b"".join(parts)


def pixels(file):
    try:
        image = Image.open(io.BytesIO(file))
        image.load()
        return image.convert("RGB") if image.format in ("JPEG", "MPO") else None
    except Exception:
        return None


for name, file in whole.items():
    pixels(file).save(FILES / f"{name}.png", optimize=True)
table = [
    {"case": name, "pieces": pieces, "pillow_reads": pixels(put_together(pieces)) is not None}
    for name, pieces in cases.items()
]
lines = ",\n  ".join(json.dumps(row) for row in table)
(HERE / "jpeg.json").write_text(f'{{"pillow": "{PIL.__version__}", "cases": [\n  {lines}\n]}}\n')
print(len(table), "cases, of which", sum(row["pillow_reads"] for row in table), "are read")
