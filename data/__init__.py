"""The demo catalogue: a generator of drawn pictures with known truth, and the demo's small CLIP model."""

if __name__ != "vitrine.data":
    raise ImportError("Import vitrine.data: under the name data its modules would be loaded a second time.")
