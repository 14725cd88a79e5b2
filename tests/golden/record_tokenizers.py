"""Records the tokens that the reference's two tokenizers give, for tests/tests/tokenizers.rs.

    venv/bin/pip install ftfy regex && venv/bin/python record_tokenizers.py REFERENCE

REFERENCE is a checkout of openai/glide-text2im, commit 69b5307. Two small tables of the published formats are made here
and committed; of the published tables only the tokens are.
"""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from unicodedata import normalize

sys.path.insert(0, sys.argv[1])

import bpe
from glide_text2im.tokenizer import simple_tokenizer
from glide_text2im.tokenizer.bpe import Encoder, get_encoder

PLACE = Path(__file__).parent / "tokenizers"
MERGES = 60
CONTEXT = 77

CAPTIONS = [
    "", " ", "\n", "   \t  ", "a   ", "an oil painting of a corgi", "A Corgi's  2 hats!", "naïve café — 日本語 🙂",
    "They'll say it's 1234567 o'clock, I'm sure you've; we're, he'd: DON'T", "  leading and trailing  ",
    "tabs\tand\n\nnew lines\r\n end", "<|endoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|>", "a<|startoftext|>",
    "İstanbul", "ΑΣ", "ΟΔΟΣ ΚΑΙ ΣΟΦΟΣ.", "Σ", "ΑΣ\u0301 ΑΣ\u0301b Α'Σ", "Straße ẞ", "e\u0301tude", "a\u00a0b\u3000c\u2003 d",
    "٣٤ ²½ Ⅷ", "\u200bzero\u200dwidth", "👩‍👩‍👧 family", "under_score-and.dots...?!", "&amp; <b>html</b>",
    "“quotes” and it’s", "\x00\x1f\x7f control", "ﬁ ﬃ Å", "ǅungla", "!", "!!", "a red boat! on 3 seas!!", "x" * 300,
    " ".join(f"word{n}" for n in range(100)), "the red house " * 70, "日本語" * 60, "a cat, " * 40 + "   ",
]  # fmt: skip


def small_gpt2():
    """A table of GPT-2's format: bytes, merges within words that begin with their space, and the end."""
    symbols = bpe.letters()
    blank = Encoder({}, [])
    pieces = Counter(blank.pat.findall(" ".join(bpe.TEXT)))
    words = [([symbols[byte] for byte in piece.encode()], times) for piece, times in pieces.items()]
    merges = []
    while len(merges) < MERGES:
        pairs = Counter()
        for word, times in words:
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = [(bpe.merge(word, best), times) for word, times in words]
    tokens = [*symbols.values(), *map("".join, merges), bpe.END]
    return {token: number for number, token in enumerate(tokens)}, merges


def lines(merges):
    return "".join(f"{left} {right}\n" for left, right in merges)


def gpt2(encoder):
    return [encoder.encode(caption) for caption in CAPTIONS]


def clip(tokenizer):
    """Tokens with start and end; none where the reference repairs the caption, or lowers it otherwise than letter by
    letter, which our tokenizer does not."""
    rows = []
    for caption in CAPTIONS:
        tokens = tokenizer.encode(caption)
        clean, simple_tokenizer.basic_clean = simple_tokenizer.basic_clean, lambda text: normalize("NFC", text)
        unrepaired = tokenizer.encode(caption)
        simple_tokenizer.basic_clean = clean
        if tokens != unrepaired or "Σ" in caption or "ENDOFTEXT" in caption:
            rows.append(None)
            continue
        tokens, length = tokenizer.padded_tokens_and_len(tokens, CONTEXT)
        assert not any(tokens[length:])
        rows.append(tokens[:length])
    return rows


PLACE.mkdir(exist_ok=True)
numbers, merges = small_gpt2()
(PLACE / "encoder.json").write_text(json.dumps(numbers) + "\n")
(PLACE / "vocab.bpe").write_text("#version: 0.2\n" + lines(merges))
table = f"#version: 0.2\n{lines(bpe.train(MERGES).merges)}"
(PLACE / "merges.txt").write_text(table)
packed = PLACE / "merges.txt.gz"
with gzip.open(packed, "wb") as file:
    file.write(table.removesuffix("\n").encode())  # the reference takes an empty last line for a merge
recorded = {
    "captions": CAPTIONS,
    "gpt2": {"small": gpt2(Encoder(numbers, merges)), "published": gpt2(get_encoder())},
    "clip": {"small": clip(simple_tokenizer.SimpleTokenizer(packed)), "published": clip(simple_tokenizer.SimpleTokenizer())},
}
packed.unlink()
rows = lambda value, indent: (
    "{\n" + ",\n".join(f'{indent} {json.dumps(key)}: {rows(of, indent + " ")}' for key, of in value.items()) + f"\n{indent}}}"
    if isinstance(value, dict)
    else "[\n" + ",\n".join(f"{indent} {json.dumps(row)}" for row in value) + f"\n{indent}]"
)  # fmt: skip
(PLACE / "recorded.json").write_text(rows(recorded, "") + "\n")
