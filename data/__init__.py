"""The demo catalogue: drawn pictures with known truth, and the small encoder trained on them."""
