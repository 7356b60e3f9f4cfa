"""``commands``, ``endpoints``, ``settings``: the command line, the REST API and the settings, as the code has them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from docutils import nodes
from pydantic import AliasChoices, SecretStr
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from quantkit.api.app import create_app
from quantkit.cli import app as command_line
from quantkit.settings import Settings


class Commands(SphinxDirective):
    """A section a command of ``quantkit``: what it does, how it is called, its options."""

    def run(self) -> list[nodes.Node]:
        """See the class."""
        lines: list[str] = []
        for words, command in _commands(typer.main.get_command(command_line), ("quantkit",)):
            title = " ".join(words)
            arguments = [each for each in command.params if each.param_type_name == "argument"]
            options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
            named = [each.name.upper() for each in arguments]
            usage = " ".join([title, *(f"{name}..." if each.nargs == -1 else name
                                       for name, each in zip(named, arguments, strict=True))])  # fmt: skip
            lines += [title, "-" * len(title), "", command.help or "", "", f"``{usage}``", ""]
            rows = [(f"``{name}``", each.help or "", "") for name, each in zip(named, arguments, strict=True)]
            rows += [(f"``{max(each.opts, key=len)}``", each.help or "", _default(each)) for each in options]
            lines += _table(("argument or option", "meaning", "default"), rows, widths=(22, 58, 20))
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _commands(group: Any, words: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))
        else:
            yield (*words, name), command


def _default(option: Any) -> str:
    return f"``{option.default}``" if option.default not in (None, "", False) else ""


class Endpoints(SphinxDirective):
    """A section an endpoint of the REST API: what it answers, its parameters."""

    def run(self) -> list[nodes.Node]:
        """See the class."""
        with tempfile.TemporaryDirectory() as home:
            document = create_app(settings=Settings.load(home=home)).openapi()
        lines: list[str] = []
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                title = f"{method.upper()} {path}"
                lines += [title, "-" * len(title), "", operation.get("summary", ""), ""]
                lines += [operation["description"], ""] if operation.get("description") else []
                rows = [
                    (f"``{each['name']}``", each.get("description", ""), _json_default(each.get("schema", {})))
                    for each in operation.get("parameters", ())
                ]
                body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                form = document["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2], {})
                rows += [
                    (f"``{name}``", field.get("description", ""), _json_default(field))
                    for name, field in form.get("properties", {}).items()
                ]
                lines += _table(("parameter", "meaning", "default"), rows, widths=(22, 58, 20))
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def _json_default(schema: dict[str, Any]) -> str:
    return f"``{schema['default']}``" if schema.get("default") not in (None, "", [], {}) else ""


class SettingsTable(SphinxDirective):
    """What can be set, with its default."""

    def run(self) -> list[nodes.Node]:
        """See the class."""
        rows = []
        for name, field in Settings.model_fields.items():
            alias = field.validation_alias
            names = alias.choices if isinstance(alias, AliasChoices) else [alias or f"QUANTKIT_{name.upper()}"]
            plain = isinstance(field.default, (bool, int, float, str))
            default = ", ".join(field.default) if isinstance(field.default, tuple) else field.default if plain else ""
            secret = " (secret)" if SecretStr.__name__ in str(field.annotation) else ""
            said = f"{field.description or ''}{secret}"
            rows.append((", ".join(f"``{each}``" for each in names), said, f"``{default}``" if default != "" else ""))
        return self.parse_text_to_nodes("\n".join(_table(("setting", "meaning", "default"), rows, widths=(30, 45, 25))))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, widths: Sequence[int]) -> list[str]:
    if not rows:
        return []
    lines = [".. list-table::", f"   :widths: {' '.join(map(str, widths))}", "   :header-rows: 1", ""]
    for row in [head, *rows]:
        for at, cell in enumerate(row):
            lines.append(f"   {'* -' if at == 0 else '  -'} {' '.join(cell.split())}")
    return [*lines, ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("commands", Commands)
    app.add_directive("endpoints", Endpoints)
    app.add_directive("settings", SettingsTable)
    return {"parallel_read_safe": True}
