"""Taggers at work: fitting one head, classifying a picture, the labelling loop."""
