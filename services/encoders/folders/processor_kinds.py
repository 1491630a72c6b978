"""What each kind of image processor does when its file leaves a key out, as transformers 5 has it.

A kind is the stem of a class: ``CLIP`` stands for CLIPImageProcessor, CLIPImageProcessorFast and the older
CLIPFeatureExtractor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Channels = float | tuple[float, float, float]
Steps = Literal["common", "convnext", "levit", "poolformer", "efficientnet", "mobilevit"]
"""How a kind departs from resize, crop, rescale, normalise: see services/encoders/folders/processor.py."""

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

_NEAREST, _LANCZOS, _BILINEAR, _BICUBIC = 0, 1, 2, 3
"""Pillow's numbers, which the files hold."""


@dataclass(frozen=True)
class ProcessorKind:
    """The defaults of one kind.

    ``size``: the shortest edge in pixels, or (height, width). ``crop``: the edge of a square, None for none;
    ``crops`` whether it is cut unless the file says otherwise. ``square``: a size that is one number, as in
    older files, means a square, and not the shortest edge.
    """

    size: int | tuple[int, int]
    crop: int | None
    mean: Channels
    std: Channels
    resample: int = _BICUBIC
    crops: bool = True
    square: bool = False
    steps: Steps = "common"
    rescale: float = 1 / 255
    normalises: bool = True
    bgr: bool = False
    crop_pct: float | None = None


def _square(
    edge: int, mean: Channels = HALF, std: Channels = HALF, resample: int = _BICUBIC
) -> ProcessorKind:
    """Return a kind that resizes to a square, whatever the picture's aspect."""
    return ProcessorKind((edge, edge), None, mean, std, resample, crops=False, square=True)


_CLIP = ProcessorKind(224, 224, CLIP_MEAN, CLIP_STD)
_MOBILENET = ProcessorKind(256, 224, HALF, HALF, _BILINEAR)

KINDS: Mapping[str, ProcessorKind] = {
    "CLIP": _CLIP,
    "ChineseCLIP": _CLIP,
    "Bit": _CLIP,
    "Flava": ProcessorKind((224, 224), 224, CLIP_MEAN, CLIP_STD, square=True),
    "Chameleon": ProcessorKind(512, 512, 1.0, 1.0, _LANCZOS, rescale=0.0078),
    "Siglip": ProcessorKind((224, 224), None, HALF, HALF, crops=False),
    "ViT": _square(224, resample=_BILINEAR),
    "DeiT": ProcessorKind((256, 256), 224, HALF, HALF, square=True),
    "DINOv3ViT": _square(224, IMAGENET_MEAN, IMAGENET_STD, _BILINEAR),
    "Beit": ProcessorKind((224, 224), 224, HALF, HALF, crops=False, square=True),
    "Segformer": _square(512, IMAGENET_MEAN, IMAGENET_STD, _BILINEAR),
    "Pvt": _square(224, IMAGENET_MEAN, IMAGENET_STD),
    "Blip": _square(384, CLIP_MEAN, CLIP_STD),
    "OwlViT": ProcessorKind((768, 768), 768, CLIP_MEAN, CLIP_STD, crops=False, square=True),
    "PPChart2Table": _square(1024, CLIP_MEAN, CLIP_STD),
    "MobileNetV1": _MOBILENET,
    "MobileNetV2": _MOBILENET,
    "MobileViT": ProcessorKind(224, 256, 0.0, 1.0, steps="mobilevit", normalises=False, bgr=True),
    "ConvNext": ProcessorKind(384, None, HALF, HALF, steps="convnext", crops=False, crop_pct=224 / 256),
    "Levit": ProcessorKind(224, 224, IMAGENET_MEAN, IMAGENET_STD, steps="levit"),
    "PoolFormer": ProcessorKind(224, 224, IMAGENET_MEAN, IMAGENET_STD, steps="poolformer", crop_pct=0.9),
    "EfficientNet": ProcessorKind(
        (346, 346), 289, HALF, HALF, crops=False, square=True, steps="efficientnet"
    ),
}

_BY_MODEL: Mapping[str, str] = {
    "Beit": "beit data2vec-vision",
    "Bit": "bit dinov2 dinov2_with_registers focalnet hiera pixio",
    "Blip": "blip blip-2 instructblip",
    "ChineseCLIP": "chinese_clip",
    "CLIP": "clip clip_vision_model aimv2 aimv2_vision_model altclip groupvit metaclip_2 mlcd xclip",
    "ConvNext": "convnext convnextv2 cvt regnet resnet",
    "DINOv3ViT": "dinov3_vit",
    "DeiT": "deit",
    "EfficientNet": "efficientnet align",
    "Flava": "flava",
    "Levit": "levit",
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
    "MobileViT": "mobilevit mobilevitv2",
    "OwlViT": "owlvit",
    "PoolFormer": "poolformer",
    "Pvt": "pvt pvt_v2",
    "Segformer": "segformer upernet",
    "Siglip": "siglip siglip_vision_model",
    "ViT": "vit clipseg dinat ijepa swiftformer swin swinv2 vit_mae vit_msn",
}
KIND_OF_MODEL: Mapping[str, str] = {
    model: kind for kind, models in _BY_MODEL.items() for model in models.split()
}
"""The kind of image processor by a config's ``model_type``, for files that name no class."""

_VARYING = "it makes inputs whose size varies from picture to picture"
_PADDING = "it pads pictures, and a model without its mask would see the padding"
REFUSED: Mapping[str, str] = {
    "Siglip2": _VARYING,
    "Qwen2VL": _VARYING,
    "Pixtral": _VARYING,
    "Detr": _VARYING,
    "ConditionalDetr": _VARYING,
    "DeformableDetr": _VARYING,
    "GroundingDino": _VARYING,
    "Yolos": _VARYING,
    "Mask2Former": _VARYING,
    "MaskFormer": _VARYING,
    "OneFormer": _VARYING,
    "Eomt": _VARYING,
    "TextNet": _VARYING,
    "GLPN": _VARYING,
    "DPT": _VARYING,
    "Owlv2": _PADDING,
    "Sam": _PADDING,
    "Vilt": _PADDING,
    "BridgeTower": _PADDING,
    "Donut": _PADDING,
    "VideoMAE": "it prepares videos",
    "ImageGPT": "it replaces colours by the numbers of clusters",
    "LayoutLMv2": "it reads the text of pages",
    "LayoutLMv3": "it reads the text of pages",
}
"""Kinds that are known and cannot be used, with the reason."""
