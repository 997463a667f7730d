"""The sections of the page below the run card: a file a subject, each with a function that takes
runs and gives HTML."""
