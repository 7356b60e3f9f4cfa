"""``catalogue``: every entry of a registry, or every public function of a module, out of its docstring.

A page about models, methods or measures holds one such directive, and so lists what the code holds, with the formula
and the source that stand where it is defined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import cleandoc, getdoc, isfunction
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from quantkit.core.indicators import Indicator
from quantkit.data.rules import Rule
from quantkit.portfolio.objectives import Objective


class Entry(NamedTuple):
    """One choice: its name, what defines it (and carries the docstring), and what else the registry knows of it."""

    name: str
    definition: Any
    facts: str


class Catalogue(SphinxDirective):
    """A table of names and summaries, then a section an entry.

    ``.. catalogue:: quantkit.forecast.FORECASTERS`` names a registry, ``.. catalogue:: quantkit.risk.measures`` a
    module whose public functions are meant: all, or the ones that ``:only:`` names, in that order.
    """

    required_arguments = 1
    option_spec: ClassVar = {"only": str.split}

    def run(self) -> list[nodes.Node]:
        """See the class."""
        prefix = self.arguments[0].rpartition(".")[2].lower().replace("_", "-")
        entries = list(_entries(_found(self.arguments[0])))
        if only := self.options.get("only"):
            entries = [entry for entry in entries if entry.name in only]
            entries.sort(key=lambda entry: only.index(entry.name))
        if not entries:
            raise self.error(f"{self.arguments[0]} lists nothing")
        lines = [".. list-table::", "   :widths: 25 75", "   :class: catalogue", ""]
        for entry in entries:
            lines += [f"   * - :ref:`{entry.name} <{prefix}-{entry.name}>`", f"     - {_summary(entry)}"]
        for entry in entries:
            self.env.note_dependency(import_module(entry.definition.__module__).__file__)
            lines += ["", f".. _{prefix}-{entry.name}:", "", entry.name, "-" * len(entry.name), ""]
            lines += [entry.facts, ""] if entry.facts else []
            lines += [*_formula_and_source(getdoc(entry.definition) or ""), "", _where(entry.definition)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _formula_and_source(docstring: str) -> Iterator[str]:
    """The prose of a numpydoc docstring and its references; arguments and the like stand in the API reference."""
    before, *sections = re.split(r"^(\w[\w ]*)\n-{3,}\n", docstring, flags=re.M)
    yield from before.splitlines()
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        if title == "Notes":
            yield from text.splitlines()
        elif title == "References":
            yield from [".. rubric:: Source", "", *text.splitlines()]


def _found(where: str) -> Any:
    """The module, or the object of a module, that a dotted name means."""
    try:
        return import_module(where)
    except ModuleNotFoundError:
        module, _, name = where.rpartition(".")
        return getattr(import_module(module), name)


def _entries(what: ModuleType | Mapping[str, Any]) -> Iterator[Entry]:
    if isinstance(what, ModuleType):
        for name in what.__all__:
            member = getattr(what, name)
            if isfunction(member) and member.__module__ == what.__name__:
                yield Entry(name, member, "")
        return
    for name, choice in what.items():
        match choice:
            case Rule():
                yield Entry(name, choice.apply, f"*{choice.kind.capitalize()}* a row because {choice.reason}.")
            case Objective():
                yield Entry(name, choice.choose, _objective_facts(choice))
            case Indicator():
                pane = "over the candles" if choice.pane == "price" else "in a pane below"
                only = "; on minute bars only" if choice.intraday else ""
                yield Entry(name, choice.definition, f"*{choice.label}*, drawn {pane}{only}.")
            case _:
                yield Entry(name, choice, _model_facts(choice))


def _objective_facts(objective: Objective) -> str:
    facts = ["uses expected returns" if objective.uses_mean else "uses no expected returns"]
    facts += [f"needs ``{objective.needs}``"] if objective.needs else []
    return f"*{'; '.join(facts).capitalize()}.*" if not objective.needs else f"{'; '.join(facts).capitalize()}."


def _model_facts(model: Any) -> str:
    """What a class of a model says of itself in its attributes, as far as it has them."""
    facts = []
    if intervals := getattr(model, "intervals", None):
        facts.append(" and ".join({"1d": "daily", "1m": "minute"}[each] for each in intervals) + " bars")
    if minimum := getattr(model, "minimum", None):
        facts.append(f"at least {minimum} {'bars' if intervals else 'returns'}")
    if (every := getattr(model, "refit_every", 1)) > 1:
        facts.append(f"estimated every {every} bars of a walk")
    if getattr(model, "heavy", False):
        facts.append("heavy: asked only by its name")
    text = "; ".join(facts)
    return f"*{text[:1].upper()}{text[1:]}.*" if text else ""


def _summary(entry: Entry) -> str:
    """The first paragraph of the docstring, on one line."""
    return cleandoc(getdoc(entry.definition) or "").split("\n\n", 1)[0].replace("\n", " ")


def _where(definition: Any) -> str:
    """Where it is defined; a link where that is a public name."""
    name = f"{definition.__module__}.{definition.__qualname__}"
    role = "func" if isfunction(definition) else "class"
    return f"Defined in ``{definition.__module__}``." if definition.__name__.startswith("_") else f":{role}:`{name}`"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("catalogue", Catalogue)
    return {"parallel_read_safe": True}
