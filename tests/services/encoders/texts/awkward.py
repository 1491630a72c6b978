"""Texts that tokenizers disagree about."""

from __future__ import annotations

import random
import string

_CHOSEN = (
    "", " ", "   ", "\n", "\t \r\n", "a", "A photo of a red HOUSE", "it's, they've: don't!", "Crème brûlée",
    "Cre\u0300me bru\u0302le\u0301e", "e\u0301\u0300\u0323", "E\u0301 A\u030a", "ＦＵＬＬ ｗｉｄｔｈ １２３",
    "ﬁne ﬂow ①②", "你好，世界", "東京タワーの写真", "한국어 텍스트", "😀 👩\u200d👩\u200d👧 🏳️\u200d🌈!",
    "&amp; &lt;b&gt; &#39;", "a\u00a0b\u2003c", "tabs\tand\nlines", "  lead and trail  ", "</s>",
    "hello </s> world", "a</s>b", "</S> A", "<unk>", "<|endoftext|> end", "<pad> [CLS] [SEP]", "▁under▁score",
    "…—“quoted”", "1234567890", "3.14159e-10", "http://x.y/z?q=1&b=2", "İstanbul ΣΑΣ ẞtraße",
    "\u200bzero\u200dwidth\ufeff", "a" * 300, "word " * 100, "\x00\x01control\x7f", "مرحبا بالعالم",
    "नमस्ते", "\U0001f1e9\U0001f1ea", "!!!???...", "'s 'T 'Re", "½ ² ™ ℃",
)  # fmt: skip
_LETTERS = [
    *string.printable,
    *"éüñçßøåàâ你好世界日本語😀👍🏽▁…“”—ﬁ①Ａｂ½\u0301\u0300\u0308\u200d\u00a0\u2028\ufeff",
    *(" " * 20),
    *("etaoin shrdlu" * 4),
]
_WORDS = "a photo of the red house cat dog blue sky with trees Running lowercase tokenization".split()  # noqa: SIM905


def awkward_texts(count: int = 300) -> list[str]:
    """Return ``count`` texts, always the same: chosen ones, random letters and random words."""
    draw = random.Random(3)
    texts = list(_CHOSEN)
    while len(texts) < count:
        if draw.random() < 0.5:
            texts.append("".join(draw.choice(_LETTERS) for _ in range(draw.randint(1, 60))))
        else:
            space = draw.choice([" ", "  ", ", ", "\n"])
            words = (draw.choice([*_WORDS, *_CHOSEN[6:36]]) for _ in range(draw.randint(1, 12)))
            texts.append(draw.choice(["", " "]) + space.join(words))
    return texts
