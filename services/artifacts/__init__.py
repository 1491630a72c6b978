"""What is made for a whole category and put in service at once: taggers, cluster runs, maps and groups of
duplicates."""
