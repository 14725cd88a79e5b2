"""A byte-level BPE vocabulary as small as can be, in CLIP's order: bytes, bytes that end a word, merges, specials."""

from collections import Counter
from dataclasses import dataclass

START, END = "<|startoftext|>", "<|endoftext|>"

TEXT = """
a red house under a blue sky beside a tall green tree the small boat sails on the sea at night and a yellow balloon
rises over the hills two fish swim below the bridge a painting of a rocket above the snow with a large mushroom left
of the house a photo of the café at dawn
""".split()


@dataclass
class Vocabulary:
    ids: dict  # from token to id
    merges: list  # pairs, the most frequent first


def letters():
    """CLIP's printable stand-in for each byte, in the order of its vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def train(count=90):
    symbols = letters()
    spell = lambda word: [symbols[byte] for byte in word.encode()]
    words = [(pieces[:-1] + [pieces[-1] + "</w>"], times) for pieces, times in
             ((spell(word), times) for word, times in Counter(TEXT).items())]  # fmt: skip
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for pieces, times in words:
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += times
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = [(merge(pieces, best), times) for pieces, times in words]
    tokens = [*symbols.values(), *(letter + "</w>" for letter in symbols.values()), *map("".join, merges), START, END]
    return Vocabulary({token: index for index, token in enumerate(tokens)}, merges)


def merge(pieces, pair):
    merged, at = [], 0
    while at < len(pieces):
        if tuple(pieces[at : at + 2]) == pair:
            merged.append(pieces[at] + pieces[at + 1])
            at += 2
        else:
            merged.append(pieces[at])
            at += 1
    return merged
