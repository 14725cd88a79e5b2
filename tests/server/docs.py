"""Every block of docs/server.md, word by word, in a shell, in Python and in JavaScript, on a server of the built-in models."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from serve import ROOT, serve

ADDRESS = "http://127.0.0.1:8188"
SKIPPED = ("bin/unclip serve", "unclip serve", "docker ")
blocks = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "docs/server.md").read_text(), re.S)

with tempfile.TemporaryDirectory() as folder, serve("--search", folder) as address:
    folder = pathlib.Path(folder)
    tried = dict.fromkeys(("sh", "python", "js"), 0)
    for language, block in blocks:
        if language not in tried or block.startswith(SKIPPED):
            continue
        block = block.replace(ADDRESS, address)
        # The variation is answered in both ways unless one is asked for.
        script = folder / {"sh": "block.sh", "python": "block.py", "js": "block.mjs"}[language]
        script.write_text({"sh": "set -euo pipefail\n"}.get(language, "") + block)
        command = {"sh": ["bash"], "python": [sys.executable], "js": ["node"]}[language]
        if language == "js" and not (folder / "node_modules").exists():
            (folder / "node_modules").symlink_to(os.environ["NODE_MODULES"])
        ran = subprocess.run([*command, script], cwd=folder, capture_output=True, text=True, timeout=300)
        failed = ran.returncode != 0 or '"error": {"' in ran.stdout or '"error":{"' in ran.stdout
        assert not failed, f"{language}:\n{block}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
        tried[language] += 1
    assert min(tried.values()) >= 3, tried
print(f"docs/server.md: {tried} all well")
