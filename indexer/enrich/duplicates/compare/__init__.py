"""Whether two pictures show the same: by structure and features, and pixel by pixel at full resolution."""
