"""A kind of contract for import-linter: a table that says, for each folder of the library, which ones it may import."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output
from importlinter.domain import fields


class MayImport(Contract):
    """`table`: lines as `captions: base store chat`. A module beside the folders is a folder of its own.

    Each folder has a line, and each folder of a line is really imported: a right that nobody uses is taken away.
    """

    type_name = "may_import"
    table = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        allowed = {name: set(others.split()) for name, _, others in (line.partition(":") for line in self.table)}
        root = self.session_options["root_packages"][0]
        used: dict[str, set[str]] = {name: set() for name in allowed}
        broken = []
        for importer in sorted(graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                here, there = (_folder(module, root) for module in (importer, imported))
                if here is None or there is None or here == there:
                    continue
                if here not in allowed or there not in allowed[here]:
                    broken.append(f"{importer} imports {imported}")
                else:
                    used[here].add(there)
        idle = [f"{name} does not import {other}" for name in allowed for other in sorted(allowed[name] - used[name])]
        return ContractCheck(kept=not broken and not idle, metadata={"lines": broken + idle})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["lines"]:
            output.print_error(line)


def _folder(module: str, root: str) -> str | None:
    """The folder of the library that a module lies in; None for the root itself and for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == root and len(parts) > 1 else None
