"""How good what is trained, scored and clustered is, on pictures whose truth is known."""
