import sys

import pytest

from audit.core.plugins import PluginError, discover


class Base:
    pass


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A package of plug-ins whose modules the test writes."""
    name = f"plugins_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    def write(**modules):
        for module, text in modules.items():
            (tmp_path / name / f"{module}.py").write_text(f"from {__name__} import Base\n{text}")
        return name

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    return write


def test_a_plugin_is_named_by_its_file(folder):
    package = folder(one="class One(Base): pass", two="class Zwei(Base): pass")

    found = discover(package, Base)

    assert {name: plugin.__name__ for name, plugin in found.items()} == {"one": "One", "two": "Zwei"}


def test_a_plugin_that_a_module_only_imports_is_not_its_own(folder):
    package = folder(one="class One(Base): pass")
    folder(two=f"from {package}.one import One\nclass Two(One): pass")

    assert discover(package, Base).keys() == {"one", "two"}


@pytest.mark.parametrize("text", ["", "class One(Base): pass\nclass Two(Base): pass", "class One: pass"])
def test_a_module_with_none_or_two_plugins_is_refused(folder, text):
    package = folder(one=text)

    with pytest.raises(PluginError, match=r"holds [02] plug-ins, not one"):
        discover(package, Base)


def test_what_is_found_cannot_be_changed_for_others(folder):
    package = folder(one="class One(Base): pass")

    discover(package, Base).clear()

    assert discover(package, Base).keys() == {"one"}
