"""Pictures a second of trainings by several processes beside one: `bench/processes.py UNCLIP [MODEL ..]`.

Each of 1 process with 2 threads, 2 with one and 4 with one trains the same model of the preset `small`, in turn, `ROUNDS` times;
the pictures a second are those of the steps 11 to 20.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 3
UNCLIP, MODELS = os.path.abspath(sys.argv[1]), sys.argv[2:] or ["clip", "prior", "decoder", "upsampler"]
INIT = pathlib.Path(__file__).resolve().parent.parent / "model"


def rate(model, processes, threads, port, more):
    with tempfile.TemporaryDirectory() as place:
        arguments = ["train", model, "--init", INIT, "--out", "out", "--runs", "runs", "--stop-at=21", "--samples-every=0", *more]
        ranks = []
        for rank in range(processes):
            environment = {**os.environ, "UNCLIP_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
            if processes > 1:
                environment |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
                environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            ranks.append(subprocess.Popen([UNCLIP, *arguments], cwd=place, env=environment, stderr=subprocess.PIPE, text=True))
        for rank in ranks:
            _, error = rank.communicate()
            assert rank.returncode == 0, error
        lines = [json.loads(line) for line in pathlib.Path(place, "runs", model, "metrics.jsonl").read_text().splitlines()]
        return next(line["pictures_per_second"] for line in lines if line["step"] == 20)


port = 21000
for model in MODELS:
    found = {}
    for _ in range(ROUNDS):
        for processes, threads, more in (1, 2, ()), (2, 1, ()), (2, 1, ("--shard-optimizer",)), (4, 1, ()):
            port += 1
            found.setdefault((processes, threads, *more), []).append(rate(model, processes, threads, port, more))
    base = statistics.median(found[1, 2])
    for key, rates in found.items():
        median = statistics.median(rates)
        name = " ".join(map(str, key))
        print(f"{model}: {name}: {median:.1f} pictures/s ({min(rates):.1f} to {max(rates):.1f}), {median / base:.2f}", flush=True)
