"""A study as one folder for reviewers: the report with everything that it is made of, without the images."""
