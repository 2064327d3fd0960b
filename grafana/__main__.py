"""Write grafana/dashboards/*.json; with --check only say whether they are up to date."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from grafana.app import app
from grafana.fleet import fleet
from grafana.panels import Json
from grafana.server import server

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS: Mapping[str, Callable[[], Json]] = {"fleet.json": fleet, "server.json": server, "app.json": app}


def written(dashboard: Json) -> str:
    """Write it as the file that is committed."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Do as the command line says."""
    texts = {FOLDER / name: written(build()) for name, build in DASHBOARDS.items()}
    if "--check" in arguments:
        for file, text in texts.items():
            if not file.exists() or file.read_text() != text:
                sys.exit(f"{file.name} in {FOLDER.name}/ differs from what grafana/ builds: run `make docs`")
        return
    for file, text in texts.items():
        file.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
