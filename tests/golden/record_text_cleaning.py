"""Records what OpenAI's code makes of captions before it splits them, for tests/tests/text_cleaning.rs.

    venv/bin/pip install -r requirements-clip.txt && venv/bin/python record_text_cleaning.py

`whole` is what it makes, `without` the same without ftfy's repair of text that was decoded in another encoding, where that
is another.
"""

import functools
import html.entities
import json
import random
from pathlib import Path

import ftfy
from clip import simple_tokenizer

PLACE = Path(__file__).parent / "text_cleaning.json"

TEXTS = [
    "", " ", "\n", " \t\r\n ", "a  b", " a ", "a\u00a0b", "a\u3000b", "a\u2003b\u200ab", "a\u200bb", "a\u200db", "a\u2028b\u2029c", "a\x85b",
    "a\r\nb\rc\nd", "a\x0bb\x0cc", "\ufeffa", "a\ufeffb", "“curly” ‘quotes’", "it’s", "‚low‛ „low‟", "O\u02bcBrien", "ʼn ŉ", "«angle» ‹quotes›",
    "ﬁsh ﬂy ﬀ ﬃ ﬄ ﬅ ﬆ", "Ĳssel ĳs", "ǆ ǅ Ǆ ǉ ǈ Ǉ ǌ ǋ Ǌ ǳ ǲ Ǳ", "æ œ Æ Œ ß ẞ", "ＬＯＵＤ　ＮＯＩＳＥＳ", "ｆｕｌｌ ｗｉｄｔｈ １２３ ！？", "Ｕﾀｰﾝ", "ｶﾞｷﾞｸﾞ ﾊﾟ",
    "￠￡￢￣￤￥￦", "￨￩￪￫￬￭￮", "ﾡﾢﾣ ￂￃ", "e\u0301 E\u0301", "é", "\u1100\u1161\u11a8", "a\u0323\u0302", "\u212b \u2126 \u212a", "ﬁ\u0301",
    "\x1b[36;44mblue\x1b[0m", "\x1b[1;31m", "\x1b[", "\x1b[3", "\x1b[mx", "\x1b]0;title\x07", "\x1b[٣m", "\x1b[31", "\x1b[31\x00m", "a\x1b[31mb\x1b[0mc",
    "&amp;", "&amp;amp;", "&amp;amp;amp;", "&amp;amp;amp;amp;", "&lt;b&gt;", "&lt;b&gt; &amp; more", "<b>&amp;</b>", "<b>&amp;amp;</b>", "a < b &amp; c",
    "&amp\n<b>\n&amp;amp;", "&EACUTE;", "&SZLIG;", "&NTILDE; &nTILDE; &Ntilde;", "&COPY; &AMP; &QUOT;", "&HELLIP; &MDASH;", "P&EACUTE;REZ <", "&Eacute &eacute",
    "this&not that", "&notit;", "&notin;", "&notanentity;", "&ampfoo", "&amp&amp", "&&amp;", "&", "& ", "&;", "&#;", "&#x;", "&x;", "a&b;c", "&semi;", "&semi",
    "&#39;", "&#39", "&#x27;", "&#X27;", "&#x2019;", "&#8217;s", "&#0;", "&#1;", "&#11;", "&#13;", "&#27;", "&#28;x", "&#127;", "&#128;", "&#129;", "&#150;", "&#x92;",
    "&#55296;", "&#57343;", "&#1114111;", "&#1114112;", "&#99999999999999999999;", "&#xFFFE;", "&#xFDD0;", "&#x1F600;", "&#038;lt;", "&#38;#39;", "&#38amp;",
    "&#x26;amp;lt;", "&hellip;", "Broken text&hellip; it&#x2019;s ﬂubberiﬁc!", "&Jscr;ohn &HilbertSpace;ancock", "&checkmark;", "&NotEqualTilde;", "&fjlig;",
    "&zwj; &zwnj; &nbsp; &ensp; &shy;", "&amp;hearts;", "&amp;#9829;", "&NewLine;a&Tab;b", "&ThickSpace;", "&bne; &bnequiv;", "e&#769;", "&#101;&#769;",
    "&lt;script&gt;", "&quot;quoted&quot;", "&ldquo;curly&rdquo;", "&lsquo;x&rsquo;", "&#64257;sh", "&filig;sh", "&#65313;", "&#12288;", "&#8203;",
    "\x00a\x01b\x02", "a\x1fb", "a\x7fb", "a\x80b", "a\x85b", "a\x91b\x92 \x93c\x94", "a\x96b\x97c", "a\x9fb\x9d\x8d\x8f\x90\x81", "\u206aa\u206f", "\ufff9a\ufffa b\ufffb", "a\ufffcb", "a\ufffdb",
    "\u200ea\u200f \u202ab\u202c", "İstanbul", "ΟΔΟΣ ΚΑΙ ΣΟΦΟΣ.", "Σ", "ΑΣ\u0301 Α'Σ", "ǅungla", "Ⅷ ⅷ Ⓐ", "ÀÉÎ", "DON'T", "<|startoftext|> a <|ENDOFTEXT|>", "<start_of_text>",
    "日本語 🙂", "👩‍👩‍👧", "🏴\U000e0067\U000e0062\U000e007f", "naïve café — déjà vu", "Ünïcödé", "½ ² ٣", "™ ® © ℠", "a…b", "a–b—c―d", "x × y ÷ z ± 1", "100 ° 5′ 3″",
    "ſt ﬅ", "ﷺ ﻻ", "א\u05bcב", "ÿ ŷ", "Å Å", "ﾞ ﾟ", "a\u0300\u0301\u0302", "\u0301a", "\u0344 \u0958", "\U0001d400\U0001d401", "a" * 300, "&" * 50, "&amp;" * 20, "&am" + "p;" * 10,
    # Decoded in another encoding than their own.
    "schÃ¶n", "âœ” No problems", "l’humanitÃ©", "Ã\xa0 perturber la rÃ©flexion", "The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.", "Ã©tÃ©", "â€œquotedâ€\x9d", "Â£5", "donâ€™t",
    "ð\x9f\x98\x80", "РґРѕР±СЂРѕ", "Ã la mode", "voilÃ le travail", "â€œ like this â€�", "Ã‰cole", "cafÃ© &amp; thÃ©", "ï»¿bom", "Ä\x8deÅ¡tina", "æ—¥æœ¬èªž", "Ã¼ber Ã¶l",
]  # fmt: skip


def more():
    """Named references of all kinds, and mixtures of everything above."""
    generator = random.Random(7)
    names = sorted(html.entities.html5)
    for name in generator.sample(names, 120):
        yield f"a &{name} b"
    for name in generator.sample(names, 20):
        yield f"&{name}x&{name.rstrip(';').upper()};"
    short = [text for text in TEXTS[:-20] if 0 < len(text) < 30]
    for _ in range(120):
        yield generator.choice(["", " ", "\n"]).join(generator.sample(short, 3))
    for start in range(0xFF00, 0xFFF0, 16):
        yield "".join(map(chr, range(start, start + 16)))


def cleaned(text):
    return simple_tokenizer.whitespace_clean(simple_tokenizer.basic_clean(text)).lower()


rows = []
for text in dict.fromkeys([*TEXTS, *more()]):
    whole = cleaned(text)
    fix_text = simple_tokenizer.ftfy.fix_text
    simple_tokenizer.ftfy.fix_text = functools.partial(fix_text, fix_encoding=False)
    without = cleaned(text)
    simple_tokenizer.ftfy.fix_text = fix_text
    rows.append(dict(text=text, whole=whole) | (dict(without=without) if without != whole else {}))
PLACE.write_text("[\n" + ",\n".join(f" {json.dumps(row)}" for row in rows) + "\n]\n")
print(len(rows), "texts,", sum("without" in row for row in rows), "that another encoding is repaired in")
