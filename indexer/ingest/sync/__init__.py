"""A folder and a category kept alike, without reading twice what has not changed."""
