"""Kinds of models that make no vector of a whole picture, by a config's ``model_type``."""

from __future__ import annotations

_LANGUAGE = (
    "it writes texts about pictures and has no vector of a whole picture. Use an encoder instead; the vision "
    "tower of such a model is usually published alone (a CLIP, SigLIP or DINOv2 model)."
)
_TEXTS = "it reads texts alone, and no pictures. Use a model with an image tower, such as CLIP or SigLIP."
_TEXT_SIDE = "it is the texts' side of a dual model alone. Use the whole model, with its image tower."
_OBJECTS = (
    "it finds or outlines objects in pictures and has no vector of a whole picture. Use an encoder instead, "
    "such as the network that it was built on."
)
_DEPTH = "it measures distances in pictures. Use the encoder that it was built on, such as DINOv2."
_VIDEO = "it reads videos, and Vitrine gives it single pictures. Use an encoder of pictures."
_SOUND = "it reads sound, and no pictures."
_PAGES = "it answers with a vector for each part of a page, and Vitrine keeps one for a picture."

_BY_PREFIX = {
    _LANGUAGE: (
        "llava vipllava video_llava qwen2_vl qwen2_5_vl qwen3_vl qwen3_5 qwen2_5_omni qwen3_omni internvl "
        "paligemma gemma3 gemma4 idefics mllama llama4 pixtral mistral3 smolvlm phi3_v phi4_multimodal "
        "kosmos-2 fuyu chameleon glm4v glm46v ovis janus deepseek_vl deepseek_ocr minicpm molmo aya_vision "
        "got_ocr2 emu3 aria cohere2_vision florence2 pix2struct vision-encoder-decoder instructblip "
        "granite_docling lfm2_vl perception_lm moondream bunny cogvlm mplug lighton_ocr"
    ),
    _OBJECTS: (
        "detr conditional_detr deformable_detr table-transformer rt_detr d_fine dab-detr deta yolos "
        "grounding-dino mm-grounding-dino omdet-turbo lw_detr rf_detr maskformer mask2former oneformer eomt "
        "sam sam_hq sam2 sam3 edgetam"
    ),
    _DEPTH: "depth_anything depth_pro glpn zoedepth prompt_depth_anything",
    _VIDEO: "videomae vivit timesformer vjepa2 tvp",
    _SOUND: "whisper wav2vec2 hubert wavlm clap audio-spectrogram-transformer speecht5 encodec musicgen",
    _PAGES: "colpali colqwen2 layoutlm udop",
    _TEXT_SIDE: "clip_text_model siglip_text_model siglip2_text_model chinese_clip_text_model",
}
_TEXT_ALONE = (
    "bert roberta xlm-roberta distilbert mpnet albert electra deberta deberta-v2 camembert modernbert "
    "nomic_bert xlnet longformer big_bird funnel gpt2 gpt_neo gpt_neox gptj opt bloom llama mistral "
    "mixtral qwen2 qwen2_moe qwen3 qwen3_moe gemma gemma2 phi phi3 falcon mpt stablelm cohere olmo olmo2 "
    "t5 mt5 umt5 longt5 bart mbart pegasus marian m2m_100 mamba rwkv deepseek_v2 deepseek_v3 gpt_oss"
)


def reason_against(model_type: str) -> str | None:
    """Return why a model of this kind is no encoder of pictures, and what to do; None where it may be one."""
    if model_type in _TEXT_ALONE.split():
        return _TEXTS
    for reason, prefixes in _BY_PREFIX.items():
        for prefix in prefixes.split():
            part = model_type.startswith((f"{prefix}_", f"{prefix}-")) and "vision" not in model_type
            if model_type == prefix or part:
                return reason
    return None
