"""Values as people write them: dates, numbers, words, and tables of text."""
