"""Groups of pictures whose pixels are alike."""
