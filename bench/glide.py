"""GLIDE's two networks at full size with random weights, and their speed here beside the reference's.

    python bench/glide.py glide-random --reference DIR --write       # the published files: 3.1 GB, a network at a time
    python bench/glide.py glide-random --reference DIR --unclip target/release/unclip [--dtypes f32 bf16] [--rounds 3]
    python bench/glide.py glide-random --unclip target/release/unclip            # how much memory unclip takes

DIR is a checkout of openai/glide-text2im at 69b5307, as tests/golden/record_glide.py takes it. A step of the base is one of
its network on a caption and on none, that of the upsampler one on the caption alone. Both sides draw the same caption with the
same steps from the same files, in turn, round after round; printed are the medians of the rounds' seconds a step, and the
ratios with their smallest and largest. The reference runs as its notebooks do, which read the caption anew at every step
(`--cached-text`: once). In bf16 it keeps in f32 what its own f16 keeps so. `--tiny` takes the networks of the golden data
instead, to try this script.
"""

import argparse
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
NETWORKS = dict(base="decoder", upsample="upsampler")  # our names of the stages
PARAMETERS = dict(base=385_030_726, upsample=398_361_286)
CAPTION = "an oil painting of a corgi"
RESPACING = dict(base="100", upsample="fast27")
GUIDANCE = 3.0
# As bin/unclip starts it; the reference is not changed.
AS_STARTED = dict(GOMP_SPINCOUNT="5000") | os.environ


class Reference:
    """The reference's classes, at full size or as small as the golden data's."""

    def __init__(self, folder, tiny):
        sys.path[:0] = [str(folder), str(ROOT / "tests" / "golden")]
        from glide_text2im import model_creation

        self.folder, self.creation, self.tiny = folder, model_creation, None
        if tiny:
            import glide_models

            data = ROOT / "tests" / "golden" / "glide" / "model"
            self.tiny = dict(base=glide_models.BASE, upsample=glide_models.UPSAMPLE)
            model_creation.get_encoder = lambda: glide_models.open_tokenizers(data)[0]

    def options(self, name):
        upsample = name == "upsample"
        defaults = self.creation.model_and_diffusion_defaults_upsampler if upsample else self.creation.model_and_diffusion_defaults
        return defaults() | dict(use_fp16=False) | (self.tiny[name] if self.tiny else {})

    def network(self, name, **more):
        return self.creation.create_model_and_diffusion(**self.options(name) | more)

    def tokens(self, network, captions):
        encode = lambda text: network.tokenizer.padded_tokens_and_mask(network.tokenizer.encode(text), network.text_ctx)
        ids, mask = zip(*map(encode, captions))
        return dict(tokens=torch.tensor(ids), mask=torch.tensor(mask))


def write(folder, reference):
    """Writes the published files that drawing needs, in f32; one network is in memory at a time."""
    folder.mkdir(parents=True)
    for number, name in enumerate(NETWORKS):
        torch.manual_seed(number)
        network = reference.network(name)[0].requires_grad_(False)
        count = sum(parameter.numel() for parameter in network.parameters())
        assert reference.tiny or count == PARAMETERS[name], count
        for parameter_name, parameter in network.named_parameters():
            if "embedding" in parameter_name:  # of which some hold whatever memory held
                parameter.normal_(std=0.02)
            elif not parameter.any():  # the last layers of blocks begin at 0
                parameter.normal_(std=0.3 * max(parameter[0].numel(), 16) ** -0.5)
        torch.save(network.state_dict(), folder / f"{name}.pt")
        print(f"{name}.pt: {count} parameters", flush=True)
        del network
        gc.collect()
    if reference.tiny:
        for file in ("encoder.json", "vocab.bpe", "glide.json"):
            shutil.copy(ROOT / "tests" / "golden" / "glide" / "model" / file, folder)
    else:
        for file in ("encoder.json.gz", "vocab.bpe.gz"):
            shutil.copy(reference.folder / "glide_text2im" / "tokenizer" / file, folder)


def reference_side(arguments, reference, dtype, steps):
    """Seconds of each network's steps but the last, the median, as a function; each network is in memory for its turn."""

    def load(name):
        network, diffusion = reference.network(
            name, timestep_respacing=RESPACING[name], cache_text_emb=arguments.cached_text
        )
        network.load_state_dict(torch.load(arguments.folder / f"{name}.pt", mmap=True))
        network.eval().requires_grad_(False)
        if dtype == "bf16":
            exact = {key: value.data for key, value in network.named_parameters()}
            network.convert_to_fp16()
            for key, parameter in network.named_parameters():
                if parameter.dtype == torch.float16:
                    parameter.data = exact[key].bfloat16()
            network.dtype = torch.bfloat16
        return network, diffusion

    def measure():
        return {stage: time_steps(reference, name, *load(name), steps[stage]) for name, stage in NETWORKS.items()}

    return measure


def time_steps(reference, name, network, diffusion, count):
    options = reference.options(name)
    size, at = options["image_size"], []
    # A step ends where the next one's network begins; the last one's is left out.
    hook = network.register_forward_pre_hook(lambda *_: at.append(time.perf_counter()))
    if name == "base":
        loop, batch, captions, model_fn, more = diffusion.p_sample_loop_progressive, 2, [CAPTION, ""], guide(network), {}
    else:
        low_res = torch.zeros(1, 3, reference.options("base")["image_size"], reference.options("base")["image_size"])
        loop, batch, captions, model_fn, more = diffusion.ddim_sample_loop_progressive, 1, [CAPTION], network, dict(low_res=low_res)
    kwargs = more | reference.tokens(network, captions)
    torch.manual_seed(1)
    with torch.no_grad():
        for done, _ in enumerate(loop(model_fn, (batch, 3, size, size), device="cpu", model_kwargs=kwargs), 1):
            if done == count:
                break
    hook.remove()
    return statistics.median(b - a for a, b in zip(at[:-1], at[1:]))


def guide(network):
    def model_fn(x_t, t, **kwargs):
        half = x_t[: len(x_t) // 2]
        eps, variance = network(torch.cat([half, half]), t, **kwargs).split(3, dim=1)
        conditional, unconditional = eps.chunk(2)
        eps = unconditional + GUIDANCE * (conditional - unconditional)
        return torch.cat([torch.cat([eps, eps]), variance], dim=1)

    return model_fn


def our_side(arguments, dtype, steps, *more):
    """As `reference_side`, and the most memory that the process took, in bytes."""
    command = [arguments.unclip, "bench", "--model", arguments.folder, "--dtype", dtype, "--rounds", "1", "--json"]
    command += ["--caption", CAPTION, "--device", "cpu", *more]
    command += [text for stage, count in steps.items() for text in (f"--{stage}-steps", str(count))]

    def measure():
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env=AS_STARTED)
        told = json.loads(ran.stdout)
        return {stage["stage"]: stage["step"][0] for stage in told["stages"]}, told["peak_memory"]

    return measure


def compare(arguments, reference, steps):
    print("| stage | dtype | unclip, s a step | reference, s a step | reference / unclip |\n| --- | --- | --- | --- | --- |")
    for dtype in arguments.dtypes:
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append((our_side(arguments, dtype, steps)()[0], reference_side(arguments, reference, dtype, steps)()))
            gc.collect()
        # A picture of 100 and 27 steps.
        rows = [(stage, lambda side, stage=stage: side[stage]) for stage in NETWORKS.values()]
        rows.append(("100 + 27 steps", lambda side: 100 * side["decoder"] + 27 * side["upsampler"]))
        for row, of in rows:
            ours, theirs = (statistics.median(of(times[side]) for times in rounds) for side in (0, 1))
            ratios = [of(times[1]) / of(times[0]) for times in rounds]
            ratio = f"{theirs / ours:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"| {row} | {dtype} | {ours:.4g} | {theirs:.4g} | {ratio} |", flush=True)


def memory(arguments, steps):
    print("| dtype | unclip, GiB at most | with --low-memory |\n| --- | --- | --- |")
    for dtype in arguments.dtypes:
        cells = [f"{our_side(arguments, dtype, steps, *more)()[1] / 2**30:.2f}" for more in ((), ("--low-memory",))]
        print(f"| {dtype} | {' | '.join(cells)} |", flush=True)


def processor():
    """The processor's name as the system has it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reference", type=Path, help="a checkout of openai/glide-text2im")
    parser.add_argument("--write", action="store_true", help="write the folder")
    parser.add_argument("--unclip", type=Path)
    parser.add_argument("--dtypes", nargs="+", default=["f32", "bf16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", nargs=2, type=int, default=[5, 3], help="of the base and the upsampler")
    parser.add_argument("--cached-text", action="store_true", help="the reference reads the caption once")
    parser.add_argument("--tiny", action="store_true", help="the networks of the golden data")
    arguments = parser.parse_args()
    if arguments.write and not arguments.reference:
        parser.error("--write needs --reference: its classes make the networks")
    reference = Reference(arguments.reference, arguments.tiny) if arguments.reference else None
    steps = dict(zip(NETWORKS.values(), arguments.steps))
    if arguments.write:
        write(arguments.folder, reference)
    if arguments.unclip:
        print(processor())
        if reference:
            compare(arguments, reference, steps)
        memory(arguments, steps)


if __name__ == "__main__":
    main()
