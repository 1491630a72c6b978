"""What lies in a model folder: which layout, what preprocessing it asks for, why it cannot be used."""
