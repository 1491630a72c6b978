"""What every other part needs: domain types, settings, encoders, stores and search. It imports no other
part."""

if __name__ != "vitrine.services":
    raise ImportError(
        "Import vitrine.services: under the name services its modules would be loaded a second time."
    )
