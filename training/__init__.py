"""Trains metric-learned encoders, autoencoders and taggers. It imports services."""

if __name__ != "vitrine.training":
    raise ImportError(
        "Import vitrine.training: under the name training its modules would be loaded a second time."
    )
