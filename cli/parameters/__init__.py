"""How what is typed becomes the values of parameters."""
