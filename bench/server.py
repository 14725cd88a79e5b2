"""The server's bars, beside the command with the same model on the same processors.

    python bench/server.py --unclip target/release/unclip [--pictures 40] [--rounds 3] [--requests 10000]

prints a table: seconds a picture of `unclip generate -n` (its start taken off) and of requests one after another, pictures a second of
16 clients at once, the first byte of a stream, the memory of the tiny model's server after 100 and after so many requests, and the
page's bytes and time. Rounds are in turn; the medians are printed.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests/golden/data/deep/model"
AS_STARTED = dict(GOMP_SPINCOUNT="5000") | os.environ


class Server:
    def __init__(self, unclip, *flags):
        command = [unclip, "serve", "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=AS_STARTED)
        self.host = self.process.stdout.readline().strip().removeprefix("http://")
        while self.request("GET", "/readyz")[0] != 200:
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.host, timeout=600)
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, data

    def generate(self, **fields):
        status, data = self.request("POST", "/v1/images/generations", dict(prompt="a red boat", **fields))
        assert status == 200, data
        return data

    def memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def in_threads(count, total, call):
    numbers = iter(range(total))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            call(number)

    threads = [threading.Thread(target=work) for _ in range(count)]
    began = time.perf_counter()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return time.perf_counter() - began


def command_seconds(unclip, pictures):
    """Seconds a picture of one process, without its start."""

    def run(count):
        with tempfile.TemporaryDirectory() as folder:
            command = [unclip, "generate", "a red boat", "--seed", "1", "-n", str(count), "--out", f"{folder}/{{index}}.png"]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=AS_STARTED)
            return time.perf_counter() - began

    short, long = run(2), run(2 + pictures)
    return (long - short) / pictures


def first_byte(server):
    connection = http.client.HTTPConnection(server.host)
    body = json.dumps(dict(prompt="a red boat", stream=True, partial_images=1))
    began = time.perf_counter()
    connection.request("POST", "/v1/images/generations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read(1)
    seconds = time.perf_counter() - began
    response.read()
    connection.close()
    return seconds


def page(server):
    """Bytes of all files and the seconds in which they come, one after another."""
    names = {"index.html": "/"}
    names |= {path.name: f"/page/{path.name}" for path in (ROOT / "server/page").iterdir() if path.name != "index.html"}
    began = time.perf_counter()
    total = sum(len(server.request("GET", path)[1]) for path in names.values())
    return total, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unclip", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = parser.parse_args()
    alone, served, together = [], [], []
    with Server(arguments.unclip) as server:
        server.generate(seed=1)
        for _ in range(arguments.rounds):
            alone.append(command_seconds(arguments.unclip, arguments.pictures))
            one = lambda number: server.generate(seed=number, response_format="url")
            served.append(in_threads(1, arguments.pictures, one) / arguments.pictures)
            together.append(in_threads(16, arguments.pictures, one) / arguments.pictures)
        bytes_, seconds = page(server)
        first = statistics.median(first_byte(server) for _ in range(5))
    ratios = lambda times: statistics.median(time / own for time, own in zip(times, alone))
    print("| what | measured |\n| --- | --- |")
    print(f"| `generate -n`, seconds a picture | {statistics.median(alone):.3f} |")
    print(f"| one request after another, of that | {ratios(served):.3f} |")
    print(f"| 16 clients at once, pictures a second of the command's | {1 / ratios(together):.3f} |")
    print(f"| first byte of a stream | {1000 * first:.1f} ms |")
    print(f"| the page: bytes of all files, seconds in which they come | {bytes_}, {seconds:.3f} |", flush=True)
    fast = dict(prior_num_inference_steps=2, decoder_num_inference_steps=2, super_res_num_inference_steps=2)
    with Server(arguments.unclip, "--model", f"tiny={TINY}", "--threads", "1") as server:
        ask = lambda number: server.generate(seed=number % 1000, response_format="b64_json", **fast)
        in_threads(8, 100, ask)
        early = server.memory()
        in_threads(8, arguments.requests, ask)
        late = server.memory()
    print(f"| memory after 100 requests, and after {arguments.requests} | {early:.0f} MB, {late:.0f} MB ({late / early:.3f}) |")


if __name__ == "__main__":
    main()
