"""Encoders that run by OpenVINO: choosing the runtime, compiling the graphs, feeding them."""
