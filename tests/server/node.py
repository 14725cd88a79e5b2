"""Runs a script of Node's against a server: sdk.mjs on the tiny model, page.mjs on the built-in ones."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from PIL import Image

from serve import ROOT, TINY, serve

script = pathlib.Path(__file__).parent / sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    # Node looks for packages beside a script.
    shutil.copy(script, folder / script.name)
    (folder / "node_modules").symlink_to(os.environ["NODE_MODULES"])
    scene = ROOT / "docs/images/scene.png"
    (folder / "gallery").mkdir()
    (folder / "search").mkdir()
    shutil.copy(scene, folder / "search/scene.png")
    if script.name == "sdk.mjs":
        mask = Image.new("RGBA", Image.open(scene).size, "black")
        mask.paste((0, 0, 0, 0), (60, 60, 200, 200))
        mask.save(folder / "mask.png")
        flags, arguments = ["--model", TINY], [scene, folder / "mask.png"]
    else:
        flags = ["--gallery", folder / "gallery", "--search", folder / "search"]
        arguments = [scene, os.environ.get("SCREENSHOTS", folder / "screenshots")]
    with serve(*flags) as address:
        subprocess.run(["node", folder / script.name, address, *arguments], check=True, cwd=folder)
