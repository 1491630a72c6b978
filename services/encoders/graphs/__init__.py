"""Encoders as OpenVINO graphs, built from a folder's config and its safetensors weights, without torch."""
