"""Pictures: decoding, colour, pixel layouts, hashes, contact sheets."""
