"""A catalog finds modules by name, lists without importing, and names the nearest on a slip."""

import sys

import pytest

from hourglass.catalog import Catalog, nearest
from hourglass.errors import UnknownNameError


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    folder = tmp_path / "made_kinds"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "round.py").write_text("KIND = 'a ball'")
    (folder / "angular.py").write_text("KIND = 'a box'")
    (folder / "_private.py").write_text("KIND = 'hidden'")
    monkeypatch.syspath_prepend(tmp_path)
    yield Catalog("made_kinds", "kind", "KIND")
    for name in [m for m in sys.modules if m.partition(".")[0] == "made_kinds"]:
        del sys.modules[name]


def test_every_public_module_is_an_entry_in_alphabetical_order(catalog):
    assert catalog.names() == ("angular", "round")


def test_a_file_that_is_added_is_an_entry_and_nothing_else_is_edited(catalog, tmp_path):
    (tmp_path / "made_kinds" / "flat.py").write_text("KIND = 'a leaf'")
    assert catalog.names() == ("angular", "flat", "round")
    assert catalog.load("flat") == "a leaf"


def test_listing_and_checking_import_no_entry(catalog):
    assert catalog.check("round") == "round"
    assert catalog.names()
    assert "made_kinds.round" not in sys.modules


def test_loading_gives_the_object_and_imports_its_module_only(catalog):
    assert catalog.load("round") == "a ball"
    assert "made_kinds.angular" not in sys.modules


@pytest.mark.parametrize("ask", ["check", "load"])
def test_an_unknown_name_is_answered_with_the_nearest_and_all(catalog, ask):
    with pytest.raises(UnknownNameError) as caught:
        getattr(catalog, ask)("rnd")
    assert str(caught.value) == (
        "unknown kind 'rnd', did you mean 'round'? (known: angular, round)"
    )


def test_the_place_where_a_name_was_read_leads_the_message(catalog):
    with pytest.raises(UnknownNameError, match=r"^params\.yaml: model\.kind: unknown kind 'x' "):
        catalog.check("x", "params.yaml: model.kind")


@pytest.mark.parametrize("name", ["_private", "round.x", "", "os"])
def test_only_entries_can_be_loaded(catalog, name):
    with pytest.raises(UnknownNameError, match=f"unknown kind '{name}'"):
        catalog.load(name)


def test_an_import_error_inside_an_entry_is_not_hidden(catalog, tmp_path):
    (tmp_path / "made_kinds" / "broken.py").write_text("import no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        catalog.load("broken")


def test_nothing_is_suggested_for_a_name_that_resembles_none():
    assert nearest("xyz", ["mse", "bce"]) == ""
    assert nearest("mes", ["mse", "bce"]) == ", did you mean 'mse'?"
