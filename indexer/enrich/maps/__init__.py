"""Maps: the images of a category laid out on a plane."""
