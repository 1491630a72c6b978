"""Payload fields of a whole category as arrays in memory: counted, binned and filtered in milliseconds."""
