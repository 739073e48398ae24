"""Check: whether a tree may be on main. Bytes decide, not authors.

Runs in the CI of the mesh repository and before every `approve`, on the merge result. Knows documents, rendering and
lint; knows nothing of observations, so it says nothing about whether a fact is true.
"""

from __future__ import annotations

from workers.check_trust import trust_problems
from workers.documents import paths
from workers.ground import blobs_of
from workers.reach import reach
from workers.render import render
from workers.render.lint import lint
from workers.tree import Files, Problem, Tree, read_tree


def check(files: Files, base: Files | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong with a tree, sorted; each with the command that mends it.

    `base` is the tree that it shall replace: no Host document of it may be missing, and what is signed must answer what
    was approved there.
    """
    tree, problems = read_tree(files)
    if tree is None:
        return problems
    trust = trust_problems(tree, files, base) if not any(_of_trust(problem) for problem in problems) else ()
    return tuple(sorted({*problems, *_rendering(files, tree), *_hosts(files, base), *trust}))


def _of_trust(problem: Problem) -> bool:
    """A document of trust that can't be read, or disagrees with another: the rest isn't held against it."""
    return not problem.path.startswith(paths.FACTS)


_CAUSES = "mesh/, facts/ and pki/"


def _rendering(files: Files, tree: Tree) -> tuple[Problem, ...]:
    reached = reach(tree)
    rendered = render(tree, reached)
    wanted = blobs_of(rendered)
    standing = {path: blob for path, blob in files.under(paths.RENDERED) if paths.is_rendered(path)}
    remedy = "`peermesh render --repo .` writes it; commit it with what it follows from"
    problems = []
    for path in standing.keys() | wanted.keys():
        if path not in standing:
            problems.append(Problem(path=path, line=0, what=f"missing, {_CAUSES} call for it", remedy=remedy))
        elif path not in wanted:
            problems.append(Problem(path=path, line=0, what=f"nothing in {_CAUSES} calls for it", remedy=remedy))
        elif standing[path] != wanted[path]:
            problems.append(Problem(path=path, line=0, what=f"isn't what {_CAUSES} render to", remedy=remedy))
    return (*problems, *lint(tree, reached, rendered, whole=True))


def _hosts(files: Files, base: Files | None) -> tuple[Problem, ...]:
    if base is None:
        return ()
    return tuple(
        Problem(
            path=path,
            line=0,
            what="a Host was removed: its address must never be given to another host",
            remedy=f"`git checkout main -- {path}` brings it back",
        )
        for path, _ in base.under("facts/hosts/")
        if files.blob(path) is None
    )
