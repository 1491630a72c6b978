"""The REST API: parses requests, calls one function, formats the answer. It imports services and indexer."""

if __name__ != "vitrine.api":
    raise ImportError("Import vitrine.api: under the name api its modules would be loaded a second time.")
