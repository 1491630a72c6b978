"""Models of a real size with random weights: speed does not depend on what the weights are, and nothing is
downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SEED = 7


def make_clip_vit_b32(folder: Path) -> Path:
    """Write a CLIP model of the size of ViT-B/32 (151 M parameters, 605 MB, 512 dimensions), random weights;
    gives ``folder``.

    It has the original's image processor and a tokenizer of single bytes, so images and texts both work
    offline. A folder that already holds the model is left as it is.
    """
    folder = Path(folder)
    if (folder / "tokenizer.json").is_file():  # written last
        return folder
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = _byte_tokenizer()
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    # the configuration's defaults are those of ViT-B/32
    config = CLIPConfig(text_config=ids)
    torch.manual_seed(SEED)
    CLIPModel(config).eval().save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _byte_tokenizer() -> Any:
    """256 bytes and two marks: no word list to download, and longer sequences than the original's for the
    same text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "<|startoftext|>", "<|endoftext|>"])}
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", start), ("<|endoftext|>", end)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=77,
    )
