"""The generated pages are what the code says today, and the examples work."""

import re
from pathlib import Path

import pytest

from docs.generate import FOLDER, PAGES
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.own import OwnMetrics
from exporter.settings import Sources, load
from exporter.settings.tree import RESERVED_LABELS
from tests.daemon import ROOT, run_cli


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "run `make docs`"


def test_the_commented_example_is_a_valid_configuration() -> None:
    settings = load(Sources(ROOT / "config" / "exporter.yaml"))
    assert [target.name for target in settings.targets] == ["orders", "sessions", "cache-local", "legacy"]
    checked = run_cli("check-config", "config/exporter.yaml")
    assert (checked.returncode, checked.stdout) == (0, "config/exporter.yaml: ok, 4 targets\n")


def test_every_metric_named_in_a_document_exists() -> None:
    known = {family.name for family in CATALOGUE}
    for family in OwnMetrics().registry.collect():
        known |= {family.name, f"{family.name}_total"}
    others = ("redis_exporter", "redis_version", "redis_mode")
    for page in [ROOT / "README.md", *FOLDER.rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for name in re.findall(r"\bredis_[a-z_]+[a-z]\b", page.read_text()):
            if not name.startswith(others):
                assert any(each.startswith(name) for each in known), f"{page.name}: {name}"


def test_no_two_families_share_a_name_in_any_format() -> None:
    names = [family.name.removesuffix("_total") for family in CATALOGUE]
    names += [family.name for family in OwnMetrics().registry.collect()]
    assert len(names) == len(set(names))


def test_every_label_of_ours_is_reserved_in_the_settings() -> None:
    ours = {label for family in CATALOGUE for label in family.labels} | {"target"}
    assert ours <= RESERVED_LABELS


def test_documents_link_to_files_that_exist() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *FOLDER.rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / Path(link)).exists(), f"{page.name}: {link}"
