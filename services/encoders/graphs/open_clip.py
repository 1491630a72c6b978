"""CLIP in open_clip's own layout: its names of weights are read as those of transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.encoders.graphs.clip import ImageSide, TextSide, image_tower, text_tower
from vitrine.services.encoders.graphs.configs import Config, Tower
from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.errors import ModelUnavailable

_EPS = 1e-5
_READ = {
    "": ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu"),
    "vision_cfg": ("image_size", "layers", "width", "head_width", "patch_size", "mlp_ratio"),
    "text_cfg": ("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"),
}
_WITHOUT_EFFECT = {
    "": ("custom_text", "cast_dtype", "init_logit_scale", "init_logit_bias", "output_dict"),
    "vision_cfg": ("patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads"),
    "text_cfg": ("pad_id", "output_tokens", "hf_tokenizer_name", "tokenizer_kwargs"),
}
_USUAL = {"pool_type": ("tok", "argmax"), "pos_embed_type": ("learnable",), "proj_type": ("linear",)}
"""Values that mean what is built here anyway."""


def build(
    config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
) -> EncoderGraph:
    """Return the graph: see GraphMaker. ``config`` is open_clip_config.json."""
    model = Config(config).section("model_cfg")
    images, texts = model.section("vision_cfg"), model.section("text_cfg")
    _check(model, images, texts)
    activation = "quick_gelu" if model.flag("quick_gelu", False) else "gelu"
    dim = model.whole("embed_dim", 512)
    tensors = Tensors(_Names(weights))
    width = images.whole("width", 768)
    heads = width // images.whole("head_width", 64)
    tower = _tower(images, width, heads, activation)
    side = ImageSide(tower, images.pair("image_size", 224), images.pair("patch_size", 16), dim)
    image = image_tower(tensors, side, size)
    text = None
    if not images_only:
        tower = _tower(texts, texts.whole("width", 512), texts.whole("heads", 8), activation)
        # open_clip reads a text at its highest id, which is how transformers' old configs mean 2
        text = text_tower(
            tensors,
            TextSide(tower, texts.whole("vocab_size", 49408), texts.whole("context_length", 77), (2,), dim),
        )
    tensors.complete()
    return EncoderGraph(image, dim, "projected", text)


def _tower(section: Config, width: int, heads: int, activation: str) -> Tower:
    hidden = int(width * section.number("mlp_ratio", 4.0))
    tower = Tower(width, hidden, section.whole("layers", 12), max(heads, 1), _EPS, activation)
    tower.check()
    return tower


def _check(model: Config, images: Config, texts: Config) -> None:
    """Raise ModelUnavailable where the config asks for more than CLIP's two plain transformers."""
    for name, what in (("timm_model_name", images), ("hf_model_name", texts)):
        if what.has(name):
            side = "images" if what is images else "texts"
            raise ModelUnavailable(
                f"This open_clip model reads {side} by {what.word(name, '')}, a network of another library, "
                "which is not built here. Use it in transformers' layout if its authors publish that."
            )
    if isinstance(images.values.get("layers"), list):
        raise ModelUnavailable(
            "This open_clip model reads images by a ResNet, which is not built here: use one with a ViT."
        )
    for name, section in (("", model), ("vision_cfg", images), ("text_cfg", texts)):
        for key, value in section.values.items():
            if value and key not in _READ[name] + _WITHOUT_EFFECT[name] and value not in _USUAL.get(key, ()):
                where = f"{name}.{key}" if name else key
                raise ModelUnavailable(
                    f"This open_clip model asks for {where} = {str(value)[:60]}, which is not built here."
                )


class _Names:
    """Weights in open_clip's names, given by those of transformers' CLIP."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        # models with settings of their own for texts keep these below "text."
        self._text = "text." if weights.has("text.token_embedding.weight") else ""

    @property
    def folder(self) -> Path:
        return self._weights.folder

    def has(self, name: str) -> bool:
        return self._weights.has(self._stored(name))

    def __call__(self, name: str) -> NDArray[np.float32]:
        return self._part(name, self._weights(self._stored(name)))

    def stored(self, name: str) -> NDArray[Any]:
        return self._part(name, self._weights.stored(self._stored(name)))

    def _part(self, name: str, tensor: NDArray[Any]) -> NDArray[Any]:
        """Return what ``name`` means of the tensor that holds it."""
        if name in ("visual_projection.weight", "text_projection.weight"):
            return tensor.T
        stacked = re.search(r"\.self_attn\.([qkv])_proj\.", name)
        if stacked is None:
            return tensor
        third, place = len(tensor) // 3, "qkv".index(stacked[1])
        return tensor[place * third : (place + 1) * third]

    def _stored(self, name: str) -> str:
        """Return open_clip's name, ``name`` itself where it has none."""
        for side, prefix in (("vision_model.", "visual."), ("text_model.", self._text)):
            if name.startswith(side):
                for pattern, replacement in _RENAMED:
                    renamed, count = re.subn(pattern, replacement, name.removeprefix(side))
                    if count:
                        return prefix + renamed
        if name == "visual_projection.weight":
            return "visual.proj"
        return f"{self._text}text_projection" if name == "text_projection.weight" else name


_BLOCK = r"^encoder\.layers\.(\d+)\."
_IN_BLOCK = r"transformer.resblocks.\1."
_RENAMED = (
    (r"^embeddings\.class_embedding$", "class_embedding"),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^embeddings\.patch_embedding\.", "conv1."),
    (r"^embeddings\.token_embedding\.", "token_embedding."),
    (r"^pre_layrnorm\.", "ln_pre."),
    (r"^post_layernorm\.", "ln_post."),
    (r"^final_layer_norm\.", "ln_final."),
    (_BLOCK + r"layer_norm(\d)\.", _IN_BLOCK + r"ln_\2."),
    (_BLOCK + r"self_attn\.[qkv]_proj\.(\w+)$", _IN_BLOCK + r"attn.in_proj_\2"),
    (_BLOCK + r"self_attn\.out_proj\.", _IN_BLOCK + "attn.out_proj."),
    (_BLOCK + r"mlp\.fc1\.", _IN_BLOCK + "mlp.c_fc."),
    (_BLOCK + r"mlp\.fc2\.", _IN_BLOCK + "mlp.c_proj."),
)
