"""Starts `unclip serve` on a free port and stops it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNCLIP = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "unclip"
TINY = f"tiny={ROOT / 'tests/golden/data/deep/model'}"


@contextlib.contextmanager
def serve(*flags, ready=True):
    """The server's address. It must end with exit code 0 at SIGTERM."""
    process = subprocess.Popen([UNCLIP, "serve", "--port", "0", *flags], stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), f"the server did not start: {flags}"
        while ready and not is_ready(address):
            time.sleep(0.02)
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "the exit code at SIGTERM"
    finally:
        process.kill()


def is_ready(address):
    try:
        return urllib.request.urlopen(f"{address}/readyz").status == 200
    except urllib.error.HTTPError:
        return False
