"""Copies of categories that are made while they are in use, and categories made again from them."""
