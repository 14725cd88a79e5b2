#!/usr/bin/env python3
"""Reads damaged files by the thousands with unclip and with the readers that the field trusts, and compares.

    python tests/hostile/many.py 50000                # prints the table of docs/reliability.md; faults end it with 1
    python tests/hostile/many.py 2000 --record        # writes tests/hostile/recorded.json, which the tests compare with

Needs torch 2.11.0, safetensors, Pillow, numpy and libjpeg-turbo's jpegtran, and a tree in which bin/test has run. The files are made by
tests/tests/hostile, a number of a case for each; files and outcomes lie in a temporary folder, or in --folder DIR.
"""

import argparse
import json
import multiprocessing
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MOST_KIB, LONGEST = 20, 700_000, 2000
#: How far the means of a picture may be apart.
TOLERANCES = {"png": 1, "jpeg": 4, "webp": 1, "gif": 1}


def tensors(named):
    """The checksum of names, types, shapes and numbers that tests/tests/hostile/formats.rs has."""
    import torch

    names = {
        torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
        torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    }
    total = 0
    for name, tensor in sorted(named.items()):
        tensor = tensor.detach().contiguous().reshape(-1)
        shape = ",".join(map(str, named[name].shape))
        total = zlib.crc32(f"{name}\0{names[tensor.dtype]}\0{shape}\0".encode(), total)
        flat = tensor.view(torch.uint8).ne(0).to(torch.uint8) if tensor.dtype == torch.bool else tensor.view(torch.uint8)
        total = zlib.crc32(flat.numpy().tobytes(), total)
    return f"{len(named)} {total:08x}"


def safetensors(path):
    from safetensors.torch import load

    return tensors(load(path.read_bytes()))


def state_dict(path):
    import torch

    loaded = torch.load(path, weights_only=True, map_location="cpu")
    inner = loaded.get("state_dict")
    has_tensors = lambda value: isinstance(value, dict) and any(isinstance(v, torch.Tensor) for v in value.values())
    wrapped = {id(value): value for key, value in loaded.items() if isinstance(key, str) and has_tensors(value)}
    if isinstance(inner, dict):
        loaded = inner
    elif not has_tensors(loaded) and wrapped:
        (loaded,) = wrapped.values()
    found = {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor) and isinstance(name, str)}
    if loaded and not found:
        raise ValueError("no tensors")
    return tensors(found)


def array(path):
    import numpy

    values = numpy.load(path, allow_pickle=False)
    if not isinstance(values, numpy.ndarray) or values.dtype.kind != "f":
        raise ValueError("no floats")
    shape = ",".join(map(str, values.shape))
    return f"{shape} {zlib.crc32(values.astype('<f4').tobytes()):08x}"


def opened(path):
    from PIL import Image

    image = Image.open(path, formats=["PNG", "JPEG", "WEBP", "GIF"])
    image.load()
    return image


def image(path):
    import numpy
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(opened(path))
    if image.mode.startswith("I"):
        values = numpy.asarray(image).astype(numpy.int64)
        image = Image.fromarray(((values + 128) // 257).astype(numpy.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    values = numpy.asarray(image.convert("RGB")).astype(numpy.int64)
    height, width = values.shape[:2]
    means = []
    for row in range(4):
        for column in range(4):
            top, left = row * height // 4, column * width // 4
            bottom, right = max((row + 1) * height // 4, top + 1), max((column + 1) * width // 4, left + 1)
            part = values[top:bottom, left:right].reshape(-1, 3)
            means += [(2 * int(total) + len(part)) // (2 * len(part)) for total in part.sum(0)]
    return f"{width}x{height} " + "".join(f"{mean:02x}" for mean in means)


def jpeg(path):
    """As `image`; where libjpeg warns that codes are damaged, the size alone, for decoders guess what stood there."""
    read = image(path)
    checked = subprocess.run(["jpegtran", "-outfile", os.devnull, path], capture_output=True)
    return read.split(" ")[0] + " damaged" if checked.stderr else read


def text(path):
    found = opened(path).text["unclip"]
    if type(found) is str:
        try:
            found = found.encode("latin-1").decode()
        except UnicodeError:
            pass
    return f"{zlib.crc32(found.encode()):08x}"


READERS = {
    "safetensors": safetensors, "torch": state_dict, "torch before 1.6": state_dict, "npy": array,
    "png": image, "jpeg": jpeg, "webp": image, "gif": image, "png texts": text,
}


def serve(tasks, answers):
    """Reads what is asked for until the pipe closes: a process of its own, for some damage kills it."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for name, path in iter(tasks.get, None):
        try:
            answers.put(READERS[name](Path(path)))
        except BaseException as error:  # whatever it is, the file was not read
            answers.put(error.__class__)


class Reader:
    """The independent readers, begun again where a file brings them down."""

    def __init__(self):
        self.process = None

    def read(self, name, path):
        """Its contents; None where they are refused."""
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.tasks, self.answers = context.Queue(), context.Queue()
            self.process = context.Process(target=serve, args=(self.tasks, self.answers), daemon=True)
            self.process.start()
        self.tasks.put((name, str(path)))
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.is_alive():
            try:
                answer = self.answers.get(timeout=1)
                return answer if isinstance(answer, str) else None
            except queue.Empty:
                pass
        self.process.kill()
        self.process = None
        return None


def agree(one, other, tolerance):
    if other.endswith(" damaged"):
        return one.split(" ")[0] == other.split(" ")[0]
    if one == other or not tolerance:
        return one == other
    (size, means), (other_size, other_means) = one.split(" "), other.split(" ")
    pairs = zip(bytes.fromhex(means), bytes.fromhex(other_means))
    return size == other_size and all(abs(a - b) <= tolerance for a, b in pairs)


def fault(outcome):
    """What is wrong with an outcome, whatever another reader says."""
    sentence = outcome["refused"]
    if outcome["panicked"] is not None:
        return f"panics: {outcome['panicked']}"
    if outcome["seconds"] > SECONDS or outcome["kib"] > MOST_KIB:
        return f"takes {outcome['seconds']:.1f} s and {outcome['kib']} KiB"
    if outcome["left"]:
        return f"leaves {outcome['left']}"
    if sentence is None:
        return None
    if outcome["file"] not in sentence:
        return f"does not name the file: {sentence}"
    if len(sentence) > LONGEST or any(ord(letter) < 32 for letter in sentence):
        return f"no sentence: {sentence!r}"
    return None


def test_binary():
    command = "cargo test --release --package unclip-cli --package tests --test unclip --no-run --message-format=json"
    lines = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [json.loads(line).get("executable") for line in lines if '"name":"unclip","src_path"' in line]
    return [path for path in found if path and "/deps/" in path][-1]


def run_worker(binary, first, end, step, folder, outcomes):
    """Has every step'th case read, and goes on behind those that a process dies of."""
    while first < end:
        environment = {**os.environ, "UNCLIP_HOSTILE_CASES": f"{first} {end} {step}", "UNCLIP_HOSTILE_FILES": str(folder)}
        environment.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
        command = [binary, "--exact", "hostile::worker", "--ignored", "--nocapture"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        current = None
        for line in process.stdout:
            if "begin " in line:
                current = int(line.split("begin ")[1])
                watchdog = threading.Timer(60 + SECONDS, process.kill)
                watchdog.start()
            elif line.startswith("end "):
                watchdog.cancel()
                outcomes.put(json.loads(line[4:]))
                current = None
        if current is None:
            if process.wait():
                raise RuntimeError(f"a process ended between cases: {process.returncode}")
            break
        watchdog.cancel()
        outcomes.put({"case": current, "died": process.wait()})
        first = current + step
    outcomes.put(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = queue.Queue()
    for number in range(arguments.processes):
        end = arguments.first + arguments.cases
        worker = (test_binary(), arguments.first + number, end, arguments.processes, folder, outcomes)
        threading.Thread(target=run_worker, args=worker, daemon=True).start()
    reader, recorded, faults, counts, running = Reader(), {}, [], {}, arguments.processes
    otherwise = 0
    while running:
        outcome = outcomes.get()
        if outcome is None:
            running -= 1
            continue
        if "died" in outcome:
            faults.append(f"case {outcome['case']} brings its process down: {outcome['died']}")
            continue
        name, read, path = outcome["format"], outcome["read"], folder / outcome["file"]
        problem = fault(outcome)
        other = reader.read(name, path) if name in READERS else None
        if other is not None:
            recorded[outcome["case"]] = other
        count = counts.setdefault(name, {"cases": 0, "read": 0, "by both": 0, "by the other": 0, "s": 0.0, "kib": 0})
        count["cases"] += 1
        count["read"] += read is not None
        count["by the other"] += other is not None
        count["by both"] += read is not None and other is not None
        count["s"] = max(count["s"], outcome["seconds"])
        count["kib"] = max(count["kib"], outcome["kib"])
        if name in READERS and read is not None:
            if other is None and name != "png texts":  # which speak even where pixels are damaged
                problem = f"is read as {read}, and refused by the other"
            elif other is not None and not agree(read, other, TOLERANCES.get(name, 0)):
                # Coefficients beyond all levels, of damaged tables, overflow in every decoder otherwise.
                if name == "jpeg" and read.split(" ")[0] == other.split(" ")[0]:
                    otherwise += 1
                else:
                    problem = f"is read as {read}, by the other as {other}"
        if problem:
            faults.append(f"{name}: {outcome['file']} {problem}")
        elif not arguments.folder:
            path.unlink()
    if arguments.record:
        lines = ",\n".join(f'"{case}": "{read}"' for case, read in sorted(recorded.items()))
        (ROOT / "tests/hostile/recorded.json").write_text(f"{{\n{lines}\n}}\n")
    print("| format | files | read | read by the other | by both | longest, s | most memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, count in counts.items():
        other = [count["by the other"], count["by both"]] if name in READERS else ["", ""]
        row = [name, count["cases"], count["read"], *other, f"{count['s']:.2f}", round(count["kib"] / 1000)]
        print("| " + " | ".join(map(str, row)) + " |")
    print(f"{len(faults)} faults; {otherwise} JPEGs of other pixels")
    for line in faults:
        print(line)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
