"""What is found out about images that are indexed, written back to their payload."""
