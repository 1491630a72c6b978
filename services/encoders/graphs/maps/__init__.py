"""Networks that work on maps (n, channels, height, width) rather than on tokens of one grid."""
