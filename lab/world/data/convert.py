"""Writes drawings.txt: the drawings that icons.txt names, as fills and paths of integers, 16 to a unit of the set's 32 by 32 box.

python3 lab/world/data/convert.py FOLDER    # the folder of the npm package @iconify-json/fluent-emoji-flat, with icons.json
"""

import json
import math
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCALE = 16
# Shapes less wide and high than this, in units, are left out: two pixels of 64.
SMALLEST = 0.9


def arc(x0, y0, rx, ry, phi, large, sweep, x1, y1):
    """Cubic segments of an SVG arc."""
    if (x0, y0) == (x1, y1):
        return []
    if rx == 0 or ry == 0:
        return [(x0, y0, x1, y1, x1, y1)]
    rx, ry, phi = abs(rx), abs(ry), math.radians(phi)
    c, s = math.cos(phi), math.sin(phi)
    dx, dy = (x0 - x1) / 2, (y0 - y1) / 2
    xp, yp = c * dx + s * dy, -s * dx + c * dy
    excess = xp * xp / (rx * rx) + yp * yp / (ry * ry)
    if excess > 1:
        rx, ry = rx * math.sqrt(excess), ry * math.sqrt(excess)
    numerator = rx * rx * ry * ry - rx * rx * yp * yp - ry * ry * xp * xp
    factor = math.sqrt(max(0, numerator) / (rx * rx * yp * yp + ry * ry * xp * xp))
    factor = -factor if large == sweep else factor
    cxp, cyp = factor * rx * yp / ry, -factor * ry * xp / rx
    cx, cy = c * cxp - s * cyp + (x0 + x1) / 2, s * cxp + c * cyp + (y0 + y1) / 2
    start = math.atan2((yp - cyp) / ry, (xp - cxp) / rx)
    delta = math.atan2((-yp - cyp) / ry, (-xp - cxp) / rx) - start
    if sweep and delta < 0:
        delta += 2 * math.pi
    if not sweep and delta > 0:
        delta -= 2 * math.pi
    pieces = max(1, math.ceil(abs(delta) / (math.pi / 2) - 1e-9))
    out = []
    step = delta / pieces
    k = 4 / 3 * math.tan(step / 4)

    def point(x, y):
        return c * rx * x - s * ry * y + cx, s * rx * x + c * ry * y + cy

    for i in range(pieces):
        a, b = start + i * step, start + (i + 1) * step
        p1 = point(math.cos(a) - k * math.sin(a), math.sin(a) + k * math.cos(a))
        p2 = point(math.cos(b) + k * math.sin(b), math.sin(b) - k * math.cos(b))
        out.append((*p1, *p2, *point(math.cos(b), math.sin(b))))
    return out


def segments(data):
    """Absolute segments (letter, points) of SVG path data: M, L, C, Q and Z alone."""
    tokens = re.findall(r"[a-zA-Z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", data)
    position = 0

    def number():
        nonlocal position
        position += 1
        return float(tokens[position - 1])

    def flag():
        value = number()
        if value not in (0, 1):
            raise ValueError("flags of arcs must stand apart")
        return int(value)

    x = y = sx = sy = 0.0
    control = None
    command = ""
    out = []
    while position < len(tokens):
        if tokens[position].isalpha():
            command = tokens[position]
            position += 1
        lower, relative = command.lower(), command.islower()
        ox, oy = (x, y) if relative else (0.0, 0.0)
        if lower == "z":
            out.append(("Z", []))
            x, y = sx, sy
            control = None
            continue
        if lower == "m":
            x, y = number() + ox, number() + oy
            sx, sy = x, y
            out.append(("M", [x, y]))
            command = "l" if relative else "L"
            control = None
        elif lower == "l":
            x, y = number() + ox, number() + oy
            out.append(("L", [x, y]))
            control = None
        elif lower == "h":
            x = number() + ox
            out.append(("L", [x, y]))
            control = None
        elif lower == "v":
            y = number() + oy
            out.append(("L", [x, y]))
            control = None
        elif lower in "cs":
            if lower == "c":
                x1, y1 = number() + ox, number() + oy
            else:
                x1, y1 = (2 * x - control[1], 2 * y - control[2]) if control and control[0] == "c" else (x, y)
            x2, y2 = number() + ox, number() + oy
            x, y = number() + ox, number() + oy
            out.append(("C", [x1, y1, x2, y2, x, y]))
            control = ("c", x2, y2)
        elif lower in "qt":
            if lower == "q":
                x1, y1 = number() + ox, number() + oy
            else:
                x1, y1 = (2 * x - control[1], 2 * y - control[2]) if control and control[0] == "q" else (x, y)
            x, y = number() + ox, number() + oy
            out.append(("Q", [x1, y1, x, y]))
            control = ("q", x1, y1)
        elif lower == "a":
            rx, ry, phi = number(), number(), number()
            large, sweep = flag(), flag()
            x1, y1 = number() + ox, number() + oy
            out.extend(("C", list(cubic)) for cubic in arc(x, y, rx, ry, phi, large, sweep, x1, y1))
            x, y = x1, y1
            control = None
        else:
            raise ValueError(command)
    return out


def compact(parts):
    """The segments as text: a letter, then integers, relative to the segment's start."""
    x = y = sx = sy = 0
    out = []
    for letter, points in parts:
        points = [round(p * SCALE) for p in points]
        if letter == "M":
            x, y = points
            sx, sy = x, y
            out.append(f"M{x} {y}")
        elif letter == "Z":
            x, y = sx, sy
            out.append("Z")
        else:
            relative = [p - (x if i % 2 == 0 else y) for i, p in enumerate(points)]
            x, y = points[-2:]
            if letter == "L" and relative == [0, 0]:
                continue
            out.append(letter + " ".join(map(str, relative)))
    return "".join(out)


def extent(parts):
    """The longer side of a shape's box, control points with it."""
    points = [p for _, points in parts for p in points]
    return max(max(points[i::2]) - min(points[i::2]) for i in (0, 1))


def circle(cx, cy, rx, ry, turn=0.0):
    k = 0.5523
    points = [(1, 0), (1, k), (k, 1), (0, 1), (-k, 1), (-1, k), (-1, 0), (-1, -k), (-k, -1), (0, -1), (k, -1), (1, -k), (1, 0)]
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = [(cx + c * rx * x - s * ry * y, cy + s * rx * x + c * ry * y) for x, y in points]
    parts = [("M", list(points[0]))]
    for i in range(1, 13, 3):
        parts.append(("C", [v for p in points[i : i + 3] for v in p]))
    return parts + [("Z", [])]


def drawing(body):
    """(fill, opacity, even-odd, segments) of each shape of an SVG body, from back to front."""
    out = []
    for tag, text in re.findall(r"<(path|circle|ellipse)([^>]*?)/?>", body):
        attributes = dict(re.findall(r'([a-z-]+)="([^"]*)"', text))
        fill = attributes["fill"].lstrip("#").lower()
        fill = fill if len(fill) == 6 else "".join(c + c for c in fill)
        if tag == "path":
            parts = segments(attributes["d"])
        else:
            value = lambda name: float(attributes[name])
            turn = float(re.findall(r"rotate\(([-\d.]+)", attributes.get("transform", "rotate(0"))[0])
            rx, ry = (value("r"), value("r")) if tag == "circle" else (value("rx"), value("ry"))
            parts = circle(value("cx"), value("cy"), rx, ry, turn)
        out.append((fill, float(attributes.get("opacity", 1)), attributes.get("fill-rule") == "evenodd", parts))
    return out


def main():
    icons = json.loads((Path(sys.argv[1]) / "icons.json").read_text())["icons"]
    lines = [
        "# Written by convert.py: = key, then a line a shape from back to front: its fill, + where it takes a colour"
        " (++ the main one), % where its rule is even-odd, its path."
    ]
    for line in (HERE / "icons.txt").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        key, source, body, left_out = [part.strip() for part in line.split("|")]
        body, left_out = body.split(), set(left_out.split())
        if source.startswith("own:"):
            svg = (HERE.parent / "drawings" / f"{source[4:]}.svg").read_text()
        else:
            svg = icons[source]["body"]
        shapes = drawing(svg)
        found = {fill for fill, *_ in shapes}
        for fill in [*body, *left_out]:
            if fill not in found:
                sys.exit(f"{key}: no fill {fill} among {sorted(found)}")
        lines.append(f"= {key}")
        for fill, opacity, even_odd, parts in shapes:
            if fill in left_out or opacity < 0.5 or extent(parts) < SMALLEST:
                continue
            mark = ("++" if fill == body[0] else "+") if fill in body else ""
            lines.append(f"{fill}{mark}{'%' if even_odd else ''} {compact(parts)}")
    (HERE / "drawings.txt").write_text("\n".join(lines) + "\n")


main()
