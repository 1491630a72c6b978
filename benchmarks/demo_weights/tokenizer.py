"""The word-level tokenizer of the demo encoder."""

from typing import Final

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from benchmarks.demo_weights.wording import vocabulary

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
PAD_ID, UNKNOWN_ID, START_ID, END_ID = range(4)
MAX_TOKENS: Final = 32


def demo_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-cases, splits at everything but letters and digits, and knows each word a caption may hold.

    A text becomes `<start> words <end>`, at most 32 tokens; a word it does not know becomes `<unk>`. The end
    has an id above 2: transformers' CLIP then pools at the first token of that id, not at the largest id.
    """
    words = {word: i for i, word in enumerate((PAD, UNKNOWN, START, END, *vocabulary()))}
    tokenizer = Tokenizer(WordLevel(words, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[^a-z0-9]+"), "removed")
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, START_ID), (END, END_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=START,
        eos_token=END,
        padding_side="right",
        truncation_side="right",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )
