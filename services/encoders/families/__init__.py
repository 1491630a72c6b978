"""The kinds of encoder, one file each."""
