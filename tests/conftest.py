"""What the marks and options mean here."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browsing import BROWSERS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kernels", help="Test this build of the C++ extension, a file.")


def pytest_configure(config: pytest.Config) -> None:
    """Put another build of the extension in the place of the installed one."""
    if config.getoption("--kernels"):
        name = "rlidim.projections.cpp_kernels._kernels"
        spec = importlib.util.spec_from_file_location(name, config.getoption("--kernels"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, where there is one."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        made.close()
