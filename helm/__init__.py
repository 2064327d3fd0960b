"""The Helm chart, and what makes the generated parts of it."""
