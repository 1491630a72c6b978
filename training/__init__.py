"""Train metric-learned encoders, autoencoders and taggers."""

if __name__ != "vitrine.training":
    raise ImportError(
        "Import vitrine.training: under the name training its modules would be loaded a second time."
    )
