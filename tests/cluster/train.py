"""`unclip train` under torchrun: as it is started, with restarts after a hundred kills, and on two hosts of which one is cut off.

Arguments: the command `unclip`, torchrun, and the number of kills.
"""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

UNCLIP, TORCHRUN, KILLS = sys.argv[1], sys.argv[2], int(sys.argv[3])
TIMEOUT = 20
TRAIN = ["train", "clip", "--preset=tiny", "--set=clip.run.batch=8", "--dtype=f32", "--out=model", f"--group-timeout={TIMEOUT}"]
ENVIRONMENT = {**os.environ, "UNCLIP_DETERMINISTIC": "1", "UNCLIP_THREADS": "1"}


def say(*words):
    print("tests/cluster:", *words, file=sys.stderr)


def unclip(*arguments):
    subprocess.run([UNCLIP, *arguments], check=True, env=ENVIRONMENT, capture_output=True)


def torchrun(*flags):
    return [TORCHRUN, "--standalone", "--nproc-per-node=2", *flags, "--no-python", UNCLIP]


def losses(runs):
    lines = pathlib.Path(runs, "clip/metrics.jsonl").read_text().splitlines()
    return {line["step"]: line["loss"] for line in map(json.loads, lines)}


def checkpoints(runs):
    """The steps of the checkpoints, each of which is as its manifest says."""
    steps = []
    for folder in pathlib.Path(runs, "clip").glob("step-*"):
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            for name, digest in manifest.items():
                found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
                assert found == digest, f"{folder / name} is torn"
            steps.append(int(folder.name.removeprefix("step-")))
        except FileNotFoundError:
            # The run has just removed it as too old, or is gone: what stays is looked at below.
            assert not (folder / "state.json").exists() or (folder / "manifest.json").exists(), f"{folder} is torn"
    return sorted(steps)


def wait_until(what, come, seconds=TIMEOUT + 40):
    begun = time.time()
    while not come():
        assert time.time() - begun < seconds, f"{what} did not come within {seconds} s"
        time.sleep(0.02)
    return time.time() - begun


def ranks_below(parent):
    """The processes that torchrun started, by rank."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent:
                variables = dict(v.split("=", 1) for v in (entry / "environ").read_text().split("\0") if "=" in v)
                found[int(variables["RANK"])] = int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError, KeyError):
            continue
    return found


def as_torchrun_starts_it():
    steps = ["--set=clip.run.steps=20"]
    unclip(*TRAIN, *steps, "--runs=alone")
    for runs, more in (("launched", []), ("sharded", ["--shard-optimizer"])):
        subprocess.run([*torchrun(), *TRAIN, *steps, f"--runs={runs}", *more], check=True, env=ENVIRONMENT)
        for step, loss in losses("alone").items():
            assert abs(losses(runs)[step] / loss - 1) < 1e-4, (runs, step, loss, losses(runs))
    say("torchrun --standalone: the losses of one process")


def kills():
    arguments = [*TRAIN, "--set=clip.run.steps=1000000", "--set=clip.run.checkpoint_every=3", "--runs=killed"]
    restarts = ["--max-restarts=" + str(KILLS + 1), "--monitor-interval=0.1"]
    log = open("torchrun.log", "w")
    agent = subprocess.Popen([*torchrun(*restarts), *arguments], env=ENVIRONMENT, stderr=log, stdout=log)
    generator = random.Random(1)
    reached, longest = 0, 0.0
    try:
        for n in range(KILLS):
            goal = reached + 3
            seconds = wait_until(f"a checkpoint after kill {n}", lambda: max(checkpoints("killed"), default=0) > goal)
            longest = max(longest, seconds)
            if os.environ.get("VERBOSE"):
                say(f"kill {n}: {seconds:.1f} s")
            time.sleep(generator.uniform(0, 0.3))
            reached = max(checkpoints("killed"))
            victim = generator.randrange(2)
            wait_until("the ranks", lambda: len(ranks_below(agent.pid)) == 2)
            os.kill(ranks_below(agent.pid)[victim], signal.SIGKILL)
            assert agent.poll() is None, f"torchrun ended after {n} kills"
        wait_until("a checkpoint after the last kill", lambda: max(checkpoints("killed")) > reached)
    finally:
        agent.terminate()
        agent.wait(60)
    steps = checkpoints("killed")
    say(f"{KILLS} kills: every restart went on, to step {steps[-1]}; the longest way to the next checkpoint took {longest:.1f} s")


def two_hosts():
    """Each rank in a network of its own, joined by a cable, which is pulled."""
    spaces = [f"unclip-{os.getpid()}-{n}" for n in range(2)]

    def ip(*arguments):
        return subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        for space in spaces:
            ip("netns", "add", space)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"no network namespaces here, so two hosts are not tried: {error}")
        return
    cable = [f"uc{os.getpid() % 10000}x{n}" for n in range(2)]
    try:
        ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for n, space in enumerate(spaces):
            ip("link", "set", cable[n], "netns", space)
            ip("-n", space, "addr", "add", f"10.99.0.{n + 1}/24", "dev", cable[n])
            ip("-n", space, "link", "set", cable[n], "up")
            ip("-n", space, "link", "set", "lo", "up")
        timeout = 6
        arguments = [*TRAIN[:-1], f"--group-timeout={timeout}", "--set=clip.run.steps=1000000", "--set=clip.run.checkpoint_every=3"]
        ranks = []
        for n, space in enumerate(spaces):
            variables = {"RANK": str(n), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "10.99.0.1", "MASTER_PORT": "29511"}
            variables["GLOO_SOCKET_IFNAME"] = cable[n]
            ranks.append(subprocess.Popen(["ip", "netns", "exec", space, UNCLIP, *arguments, "--runs=hosts"],
                                          env={**ENVIRONMENT, **variables}, stderr=subprocess.PIPE, text=True))
        wait_until("a checkpoint on two hosts", lambda: max(checkpoints("hosts"), default=0) > 6)
        ip("-n", spaces[1], "link", "set", cable[1], "down")
        pulled = time.time()
        for n, rank in enumerate(ranks):
            _, error = rank.communicate(timeout=timeout + 60)
            seconds = time.time() - pulled
            assert rank.returncode not in (0, None), error
            assert "rank" in error.splitlines()[-1] or "store" in error.splitlines()[-1], error
            say(f"cut off: rank {n} ends after {seconds:.1f} s with: {error.splitlines()[-1]}")
        assert max(checkpoints("hosts")) > 6
    finally:
        for rank in ranks:
            rank.kill()
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], check=False)


with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    unclip("train", "tokenizer", "--preset=tiny", "--out=model")
    as_torchrun_starts_it()
    two_hosts()
    kills()
