"""The command line ``vitrine``. It imports every other part, inside its commands."""

if __name__ != "vitrine.cli":
    raise ImportError("Import vitrine.cli: under the name cli its modules would be loaded a second time.")
