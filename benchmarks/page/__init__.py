"""How fast the web page is, in headless Chromium: the search, a grid of 100,000 and the map of a million."""
