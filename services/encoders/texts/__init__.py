"""Texts as the numbers that text towers read, by the tokenizers package, without transformers and torch."""
