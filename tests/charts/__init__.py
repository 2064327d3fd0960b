"""The Helm chart through the real helm, and the schemas that what it renders must fit."""
