"""Git: the adapter behind `workers.outside.Repository`, the only place that knows pygit2 and the git command.

`address`: where and who; `command`: a process; `outcomes`: what git said; `copy`: the disposable copy; `objects`,
`files`, `log`: what is in it; `history`: what that means (pure); `push`; `repository`: all of it together; `opening`:
what a person names on the command line.
"""

from __future__ import annotations

from workers.git.address import Access
from workers.git.opening import identity, open_files, open_repository, remote_of
from workers.git.repository import GitRepository

__all__ = ["Access", "GitRepository", "identity", "open_files", "open_repository", "remote_of"]
