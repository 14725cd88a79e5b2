"""Records which PNGs, WebPs and GIFs Pillow reads, whole and damaged, for tests/tests/images/damaged.rs.

`damaged.json` holds small files in hexadecimal, with Pillow's pixels of them on white, and cases: each is a file in which the
bytes `from` to `to` are replaced by others. Run with Pillow 13.0.0 and numpy.
"""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

HERE = Path(__file__).parent
WIDTH, HEIGHT = 16, 12
TURNED = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
files, cases, random = {}, [], np.random.default_rng(0)

y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
levels = np.stack([x * 14, y * 18, (x + y) * 8, x * 16], -1) + random.normal(0, 4, (HEIGHT, WIDTH, 4))
rgba = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
rgb, grey = rgba.convert("RGB"), rgba.convert("L")
palette = rgb.quantize(20)


def written(image, form, **settings):
    out = io.BytesIO()
    image.save(out, form, **settings)
    return out.getvalue()


def on_white(image):
    if image.mode in ("I;16", "I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    levels = np.asarray(image.convert("RGBA")).astype(np.uint32)
    alpha = levels[..., 3:]
    return Image.fromarray(((levels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))


def read(file):
    try:
        image = Image.open(io.BytesIO(file))
        image.load()
        return on_white(image), getattr(image, "is_animated", False)
    except Exception:
        return None


def whole(name, file):
    image, animated = read(file)
    files[name] = {"hex": file.hex(), "width": image.width, "levels": image.tobytes().hex(), "animated": animated}
    return file


def case(name, what, file):
    """Keeps what sets a file apart from the whole one of this name."""
    of = bytes.fromhex(files[name]["hex"])
    start = next((n for n, (a, b) in enumerate(zip(of, file)) if a != b), min(len(of), len(file)))
    most = min(len(of), len(file)) - start
    end = next((n for n in range(most) if of[-1 - n] != file[-1 - n]), most)
    cases.append({"file": name, "case": what, "from": start, "to": len(of) - end, "hex": file[start : len(file) - end].hex(), "pillow_reads": read(file) is not None})


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def with_length(file, length=None):
    return file[:4] + struct.pack("<I", (len(file) - 8 if length is None else length) & 0xFFFFFFFF) + file[8:]


def webps():
    settings = {"quality": 60, "method": 0}
    meta = {"exif": b"Exif\0\0" + TURNED, "icc_profile": b"x" * 31, "xmp": b"<x/>"}
    turned = [rgb.rotate(90)]
    yield "lossy.webp", written(rgb, "WEBP", **settings)
    yield "lossless.webp", written(rgb, "WEBP", lossless=True)
    yield "lossy-alpha.webp", written(rgba, "WEBP", **settings)
    yield "lossless-alpha.webp", written(rgba, "WEBP", lossless=True, exact=True)
    yield "profile.webp", written(rgb, "WEBP", **settings, **(meta | {"exif": b""}))
    yield "animated.webp", written(rgb, "WEBP", **settings, save_all=True, append_images=turned)
    yield "animated-alpha.webp", written(rgba, "WEBP", lossless=True, save_all=True, append_images=turned)


for name, file in webps():
    whole(name, file)
    length = len(file) - 8
    for more in (-20, -10, -4, -3, -2, -1, 1, 2, 3, 4, 10, 100):
        case(name, f"declared length {more:+}", with_length(file, length + more))
    for other in (0, 4, 12, 0xFFFFFFF6, 0xFFFFFFFF):
        case(name, f"declared length of {other}", with_length(file, other))
    for more in (1, 2, 7, 8, 9):
        case(name, f"{more} bytes behind", file + b"\xaa" * more)
    case(name, "twice", file + file)
    for less in (1, 2, 3, 4, 8, 9, 16, 30):
        case(name, f"cut by {less}", file[:-less])
        case(name, f"cut by {less} and declared so", with_length(file[:-less]))
    case(name, "an unknown chunk at the end", with_length(file + chunk(b"JUNK", b"abc")))
    place = 12
    while place < len(file):
        kind, size = file[place : place + 4], struct.unpack("<I", file[place + 4 : place + 8])[0]
        title, end = kind.decode().strip(), place + 8 + size + (size & 1)
        for more in (-2, -1, 1, 2, 10, 1000, 1 << 31):
            if size + more >= 0:
                case(name, f"{title} length {more:+}", file[: place + 4] + struct.pack("<I", size + more) + file[place + 8 :])
        case(name, f"{title} left out", with_length(file[:place] + file[end:]))
        case(name, f"{title} twice", with_length(file[:end] + file[place:]))
        case(name, f"an unknown chunk before {title}", with_length(file[:place] + chunk(b"JUNK", b"abc") + file[place:]))
        case(name, f"{title} renamed", file[:place] + kind[:1].lower() + file[place + 1 :])
        if title == "VP8X":
            for bit in range(8):
                case(name, f"VP8X flag {bit}", file[: place + 8] + bytes([file[place + 8] ^ 1 << bit]) + file[place + 9 :])
            for width, height in ((40, HEIGHT), (WIDTH, 30), (8, 6)):
                canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
                if "animated" not in name or width < 9:
                    case(name, f"canvas of {width} x {height}", file[: place + 12] + canvas + file[place + 18 :])
        place = end


def png_chunk(name, data, flip=0):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ flip)


def png(*parts):
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


END = png_chunk(b"IEND", b"")


def header(kind, depth=8, compression=0, filtering=0, interlace=0, width=WIDTH):
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, HEIGHT, depth, kind, compression, filtering, interlace))


for image, kind in ((rgb, 2), (rgba, 6), (grey, 0)):
    name = f"{image.mode}.png"
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(image))
    row = len(rows) // HEIGHT
    packed = zlib.compress(rows)
    head, data = header(kind), png_chunk(b"IDAT", packed)
    file = whole(name, png(head, data, END))

    def pixels(rows, packed=None):
        return png(head, png_chunk(b"IDAT", packed or zlib.compress(rows)), END)

    def beside(*chunks):
        return png(head, *chunks, data, END)

    halves = png_chunk(b"IDAT", packed[:50]), png_chunk(b"IDAT", packed[50:])
    profile = b"a\0\0" + zlib.compress(b"x" * 200)
    clear = bytes(2 if kind == 0 else 6)
    for what, damaged in {
        "no IEND": png(head, data),
        "IEND checksum": png(head, data, png_chunk(b"IEND", b"", 1)),
        "IHDR checksum": png(png_chunk(b"IHDR", head[8:21], 1), data, END),
        "IDAT checksum": png(head, png_chunk(b"IDAT", packed, 1), END),
        "two IDATs": png(head, *halves, END),
        "two IDATs, first checksum": png(head, png_chunk(b"IDAT", packed[:50], 1), halves[1], END),
        "Adler checksum": pixels(0, packed[:-1] + bytes([packed[-1] ^ 1])),
        "no Adler checksum": pixels(0, packed[:-4]),
        "half an Adler checksum": pixels(0, packed[:-2]),
        "more in IDAT": pixels(0, packed + b"junk" * 5),
        "more rows": pixels(rows + rows[: 3 * row]),
        "a row less": pixels(rows[:-row]),
        "a byte less": pixels(rows[:-1]),
        "half of IDAT": pixels(0, packed[: len(packed) // 2]),
        "behind IEND": file + b"junk" * 9,
        "second IHDR": png(head, head, data, END),
        "IHDR behind IDAT": png(head, data, head, END),
        "tEXt": beside(png_chunk(b"tEXt", b"a\0b")),
        "tEXt checksum": beside(png_chunk(b"tEXt", b"a\0b", 1)),
        "tEXt behind": png(head, data, png_chunk(b"tEXt", b"a\0b"), END),
        "zTXt damaged": beside(png_chunk(b"zTXt", b"a\0\0garbage")),
        "iCCP": beside(png_chunk(b"iCCP", profile)),
        "iCCP damaged": beside(png_chunk(b"iCCP", b"a\0\0garbage")),
        "iCCP checksum": beside(png_chunk(b"iCCP", profile, 1)),
        "private chunk": beside(png_chunk(b"prVt", b"abc")),
        "private chunk checksum": beside(png_chunk(b"prVt", b"abc", 1)),
        "unknown critical chunk": beside(png_chunk(b"ABCD", b"abc")),
        "gAMA checksum": beside(png_chunk(b"gAMA", struct.pack(">I", 45455), 1)),
        "gAMA too short": beside(png_chunk(b"gAMA", b"\0")),
        "tIME between IDATs": png(head, halves[0], png_chunk(b"tIME", bytes(7)), halves[1], END),
        "eXIf damaged": beside(png_chunk(b"eXIf", b"MMMM")),
        "unknown filter": pixels(b"\5" + rows[1:]),
        "unknown filter later": pixels(rows[: 10 * row] + b"\x09" + rows[10 * row + 1 :]),
        "unknown compression": png(header(kind, compression=1), data, END),
        "unknown filter method": png(header(kind, filtering=1), data, END),
        "unknown interlacing": png(header(kind, interlace=2), data, END),
        "unknown depth": png(header(kind, depth=3), data, END),
        "unknown colour": png(header(7), data, END),
        "no width": png(header(kind, width=0), data, END),
        "IHDR too long": png(png_chunk(b"IHDR", head[8:21] + b"\0"), data, END),
        "no IDAT": png(head, END),
        "empty IDAT": png(head, png_chunk(b"IDAT", b""), END),
        "empty IDAT first": beside(png_chunk(b"IDAT", b"")),
        "tRNS": beside(png_chunk(b"tRNS", clear)),
        "tRNS too short": beside(png_chunk(b"tRNS", b"\0")),
        "tRNS checksum": beside(png_chunk(b"tRNS", clear, 1)),
        "IDAT length beyond": png(head, struct.pack(">I", len(packed) + 100) + data[4:], END),
        "IDAT length of 2^31 - 1": png(head, struct.pack(">I", 0x7FFFFFFF) + data[4:], END),
        "IDAT first": png(data, head, END),
    }.items():
        case(name, what, damaged)
    for less in (1, 4, 8, 11, 12, 13, 14, 16, 17, 20, 40):
        case(name, f"cut by {less}", file[:-less])
    for flip in range(40):
        place, bit = int(random.integers(8, len(file))), int(random.integers(0, 8))
        case(name, f"bit {bit} of byte {place}", file[:place] + bytes([file[place] ^ 1 << bit]) + file[place + 1 :])

colours = bytes(palette.getpalette()[:60])
rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(palette))
head, data, table = header(3), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"PLTE", colours)
whole("palette.png", png(head, table, data, END))
for what, parts in {
    "no PLTE": (head, data),
    "PLTE checksum": (head, png_chunk(b"PLTE", colours, 1), data),
    "PLTE too short": (head, png_chunk(b"PLTE", colours[:30]), data),
    "PLTE of 31 bytes": (head, png_chunk(b"PLTE", colours[:31]), data),
    "PLTE empty": (head, png_chunk(b"PLTE", b""), data),
    "PLTE behind": (head, data, table),
    "PLTE twice": (head, table, table, data),
    "PLTE too long": (head, png_chunk(b"PLTE", colours * 15), data),
    "tRNS": (head, table, png_chunk(b"tRNS", bytes([0, 128])), data),
    "tRNS too long": (head, table, png_chunk(b"tRNS", bytes(300)), data),
}.items():
    case("palette.png", what, png(*parts, END))

PASSES = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
KINDS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
for kind, depths in KINDS.items():
    for depth in depths:
        for interlace in (0, 1):
            rows = b""
            for left, across, top, down in PASSES if interlace else [(0, 1, 0, 1)]:
                width = (WIDTH - 1 - left + across - 1) // across
                length = (width * depth * SAMPLES[kind] + 7) // 8
                for _ in range((HEIGHT - top + down - 1) // down):
                    rows += b"\0" + random.integers(0, 256, length, dtype=np.uint8).tobytes()
            table = random.integers(0, 256, 3 << depth, dtype=np.uint8).tobytes() if kind == 3 else b""
            table = png_chunk(b"PLTE", table) if table else b""
            head = header(kind, depth, interlace=interlace, width=WIDTH - 1)
            name = f"kind-{kind}-depth-{depth}{'-interlaced' if interlace else ''}.png"
            whole(name, png(head, table, png_chunk(b"IDAT", zlib.compress(rows)), END))

for name, file in {
    "one.gif": written(palette, "GIF", interlace=0),
    "interlaced.gif": written(palette, "GIF", interlace=1),
    "clear.gif": written(palette, "GIF", transparency=3),
    "two.gif": written(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)]),
}.items():
    whole(name, file)
    for less in (1, 2, 3, 4, 5, 8, 20, 50, 100):
        case(name, f"cut by {less}", file[:-less])
    case(name, "bytes behind", file + b"junk")
    case(name, "zeros for the end", file[:-1] + bytes(9))
    case(name, "header alone", file[:13])
file = bytes.fromhex(files["one.gif"]["hex"])
frame = file.index(b"\x2c\0\0\0\0")
for what, damaged in {
    "pixels end early": file[: frame + 11] + bytes([40]) + file[frame + 12 : frame + 52] + b"\0;",
    "no pixels": file[: frame + 11] + b"\0;",
    "frame wider": file[: frame + 5] + struct.pack("<H", 40) + file[frame + 7 :],
    "frame higher": file[: frame + 7] + struct.pack("<H", 30) + file[frame + 9 :],
    "empty frame": file[: frame + 5] + bytes(4) + file[frame + 9 :],
    "empty canvas": file[:6] + bytes(4) + file[10:],
}.items():
    case("one.gif", what, damaged)

lines = ",\n".join(json.dumps(case) for case in cases)
shown = ",\n".join(f"{json.dumps(name)}: {json.dumps(file)}" for name, file in files.items())
text = f'{{"pillow": "{PIL.__version__}",\n"files": {{\n{shown}\n}},\n"cases": [\n{lines}\n]}}\n'
(HERE / "damaged.json").write_text(text)
