"""The documentation, and the program that writes the pages that are generated."""
