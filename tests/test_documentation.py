"""What the documentation shows is so: docstring examples, Python, links, the headline table."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rlidim
from tests.marks import slow_but

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def modules() -> list[str]:
    # Not rlidim.__path__: an editable install may add the checkout's root, for envs/.
    return ["rlidim"] + [
        found.name
        for found in pkgutil.walk_packages([str(ROOT / "rlidim")], "rlidim.")
        if not found.name.endswith("__main__")
    ]


@pytest.mark.slow
def test_docstring_examples() -> None:
    results = {name: doctest.testmod(importlib.import_module(name)) for name in modules()}
    assert [name for name, result in results.items() if result.failed] == []
    assert sum(result.attempted for result in results.values()) > 20


def test_the_public_interface_shows_examples() -> None:
    for public in (rlidim.projection, rlidim.Subspace, rlidim.SubspaceOptimizer, rlidim.measure):
        assert ">>> " in str(public.__doc__), public


@pytest.mark.parametrize("number", slow_but([0], range(3)))
def test_the_readmes_python_runs(number: int, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    # The same calls at a size for a test.
    code = blocks[number].replace("learn(10_000)", "learn(2_048)")
    code = code.replace(
        'measure("cartpole", "es")', 'measure("cartpole", "es", dims=[16], seeds=2)'
    )
    script = tmp_path / "example.py"
    script.write_text(code)
    subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
        capture_output=True,
    )


def test_every_python_block_is_on_a_page_whose_blocks_run() -> None:
    """The README's run above, those of docs/own-trainer.md in tests/test_own_code.py."""
    pages = [README, *(path.read_text() for path in (ROOT / "docs").glob("*.md"))]
    run = [README, (ROOT / "docs" / "own-trainer.md").read_text()]
    assert [page[:60] for page in pages if "```python" in page and page not in run] == []


def test_the_readmes_own_task_is_valid(tmp_path: Path) -> None:
    (content,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "lander.yml").write_text(content)
    from rlidim.tasks.loading import load_task

    assert set(load_task(tmp_path / "lander.yml").trainers) == {"cmaes", "ppo"}


def test_nothing_private_to_a_machine_is_in_the_repository() -> None:
    files = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.yml", "*.toml", "*.txt", "Makefile", ".ci/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split()
    if not files:
        pytest.skip("not a checkout")
    private = re.compile(r"/work/|/home/\w|/root/|(?<!torch)\.library|pythonhosted|pypi\.org")
    for name in files:
        if name != "tests/test_documentation.py" and (ROOT / name).exists():
            found = private.search((ROOT / name).read_text())
            assert found is None, f"{name}: {found}"


def test_the_readmes_table_is_that_of_the_records() -> None:
    """The README's headline table is that of results/HEADLINE.md, as the records give it now."""
    from rlidim.records.folder import Results
    from rlidim.records.measurement import gather
    from rlidim.report import headline, render
    from rlidim.tasks.names import find_tasks

    records, problems = Results(ROOT / "results").scan()
    assert not problems
    loaded = find_tasks({record.cell.task for record in records})
    table = headline.read(gather(records, loaded, results_folder=ROOT / "results"))
    assert len(table.rows) >= 8
    assert render.markdown_table(table) in README
    assert render.markdown_table(table) in (ROOT / "results" / "HEADLINE.md").read_text()


def test_links_within_the_documentation_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_short() -> None:
    words = [word for word in README.split() if re.search(r"\w", word)]  # a table's bars are none
    assert len(words) <= 1_200
