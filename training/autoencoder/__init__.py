"""Autoencoders: encoders that are trained from pictures alone."""
