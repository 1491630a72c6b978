"""More vectors: embedding again with another encoder, promoting a trained one."""
