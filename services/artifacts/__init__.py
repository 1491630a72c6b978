"""What is made for a whole category and put in service as a whole: taggers, cluster runs, maps, groups of
duplicates."""
