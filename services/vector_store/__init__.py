"""Where embeddings and payloads are kept and searched: Qdrant Edge or a Qdrant server behind one surface."""
