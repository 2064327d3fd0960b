"""`python -m exporter` is the command."""

from exporter.cli import main

raise SystemExit(main())
