"""The API's manual: the OpenAPI document as one page of plain HTML, in the dashboards' look.

FastAPI's own pages load their scripts from a CDN. This one has no script and fetches nothing, and its style sheet is
named in the policy by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from html import escape
from typing import Any, Final

from quantkit.api.problems import problem_types
from quantkit.ui.theme import FONT_MONO, FONT_TEXT, css_variables

__all__ = ["page", "policy"]

_STYLE: Final = (
    f":root {{ color-scheme: dark; --text: {FONT_TEXT}; --mono: {FONT_MONO}; {css_variables('dark')} }}\n"
    f"@media (prefers-color-scheme: light) {{ :root {{ color-scheme: light; {css_variables('light')} }} }}\n"
    """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--qk-background); color: var(--qk-text); font: 15px/1.55 var(--text); }
a { color: var(--qk-forecast); text-decoration: none; } a:hover { text-decoration: underline; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--qk-accent); outline-offset: 2px; }
code, pre, .path { font-family: var(--mono); font-size: .88em; }
.frame { display: grid; grid-template-columns: 15.5rem minmax(0, 1fr); max-width: 76rem; margin: 0 auto; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; padding: 1.6rem 1rem 2rem 1.2rem;
  border-right: 1px solid var(--qk-line); }
nav strong { font-size: 1.15rem; color: var(--qk-accent); letter-spacing: .01em; } nav h2 { margin: 1.1rem 0 .2rem;
  font-size: .72rem; letter-spacing: .08em; text-transform: uppercase; color: var(--qk-muted); }
nav a { display: block; padding: .12rem 0; color: var(--qk-text); font-size: .9rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
main { padding: 1.6rem 1.8rem 5rem; min-width: 0; }
h1 { margin: 0 0 .4rem; font-size: 1.7rem; } h1 small { color: var(--qk-muted); font-size: .9rem; font-weight: 400; }
main > h2 { margin: 2.6rem 0 .8rem; font-size: 1.2rem; } .lead { max-width: 46rem; color: var(--qk-muted); }
section { background: var(--qk-panel); border: 1px solid var(--qk-line); border-radius: 8px; margin: 0 0 1rem;
  padding: .9rem 1.1rem 1rem; }
section h3 { display: flex; gap: .7rem; align-items: baseline; flex-wrap: wrap; margin: 0 0 .3rem; font-size: 1rem; }
.method { font: 600 .75rem/1.7 var(--mono); padding: 0 .5em; border-radius: 4px; background: var(--qk-raised);
  color: var(--qk-up); } .method.post { color: var(--qk-accent); } .method.delete { color: var(--qk-down); }
.path { font-size: .98rem; } h3 .what { margin-left: auto;
  color: var(--qk-muted); font-weight: 400; font-size: .85rem; }
section p { margin: .2rem 0 .7rem; max-width: 48rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .32rem .8rem .32rem 0; border-top: 1px solid var(--qk-grid); }
th { color: var(--qk-muted); font-weight: 500; border-top: 0; } td.name { white-space: nowrap;
  font-family: var(--mono); }
td.type { color: var(--qk-muted); font-family: var(--mono); font-size: .82em; max-width: 17rem; }
.need { color: var(--qk-accent); } .muted { color: var(--qk-muted); }
pre { margin: .5rem 0; padding: .7rem .9rem; overflow-x: auto; background: var(--qk-background); border-radius: 6px;
  border: 1px solid var(--qk-line); line-height: 1.45; }
details { margin-top: .6rem; } summary { cursor: pointer; color: var(--qk-forecast); font-size: .9rem; }
@media (max-width: 48rem) { .frame { grid-template-columns: minmax(0, 1fr); } nav { position: static; max-height: none;
  border-right: 0; border-bottom: 1px solid var(--qk-line); } nav ul { display: flex; flex-wrap: wrap; gap: 0 1rem; }
  main { padding: 1.2rem 1rem 4rem; } }
"""
)


@cache
def policy() -> str:
    """The page's Content-Security-Policy: nothing but its own style."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; frame-ancestors 'none'; base-uri 'none'"


def page(document: dict[str, Any]) -> str:
    """The manual of an OpenAPI `document`."""
    schemas = document["components"]["schemas"]
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault((operation.get("tags") or ["Other"])[0], []).append((method, path, operation))
    menu, body = [], []
    for group, operations in groups.items():
        menu.append(f"<h2>{escape(group)}</h2><ul>" + "".join(
            f'<li><a href="#{_anchor(method, path)}">{escape(operation.get("summary", path))}</a></li>'
            for method, path, operation in operations
        ) + "</ul>")  # fmt: skip
        body.append(f"<h2>{escape(group)}</h2>")
        body += [_operation(method, path, operation, schemas) for method, path, operation in operations]
    forms = "".join(_schema(name, schema) for name, schema in sorted(schemas.items()))
    text = "".join(f"<p>{_inline(part)}</p>" for part in document["info"]["description"].strip().split("\n\n"))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>quantkit REST API</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>
<body><div class="frame"><nav aria-label="Contents"><strong>quantkit</strong>{"".join(menu)}
<h2>Reference</h2><ul><li><a href="#problems">Problems</a></li><li><a href="#forms">Forms</a></li>
<li><a href="openapi.json">OpenAPI document</a></li></ul></nav>
<main><h1>REST API <small>{escape(document["info"]["version"])}</small></h1><div class="lead">{text}</div>
<pre>curl 'http://127.0.0.1:8000/price?symbol=AAPL'
curl 'http://127.0.0.1:8000/v1/prediction?symbol=AAPL&amp;horizon=5'
curl -H 'Content-Type: application/json' -d '{{"symbols": ["AAPL", "MSFT", "JPM", "XOM"]}}' \\
     http://127.0.0.1:8000/v1/portfolio/optimize</pre>
{"".join(body)}{_problems()}<h2 id="forms">Forms</h2>{forms}</main></div></body></html>
"""


def _operation(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    rows = [
        _row(each["name"], each["schema"], each.get("description") or each["schema"].get("description", ""),
             needed=each.get("required", False))
        for each in operation.get("parameters", [])
    ]  # fmt: skip
    sent = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if name := _name_of(sent):
        fields, needed = schemas[name]["properties"], schemas[name].get("required", [])
        rows += [_row(key, field, field.get("description", ""), needed=key in needed) for key, field in fields.items()]
    answers = []
    for status, answer in operation["responses"].items():
        if status[0] == "2":
            for media, content in answer.get("content", {}).items():
                form = _type(content.get("schema", {})) if media == "application/json" else ""
                answers.append(f"<code>{status}</code> {escape(media)} {form}")
    table = _table(("name", "type", "meaning"), rows) if rows else ""
    return (
        f'<section id="{_anchor(method, path)}"><h3><span class="method {method}">{method.upper()}</span>'
        f'<span class="path">{escape(path)}</span><span class="what">{escape(operation.get("summary", ""))}</span></h3>'
        f"<p>{_inline(operation.get('description', ''))}</p>{table}"
        f'<p class="muted">{" · ".join(answers)}</p></section>'
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = [
        _row(key, field, field.get("description", ""), needed=False, example=field.get("examples"))
        for key, field in schema.get("properties", {}).items()
    ]
    said = f"<p>{_inline(schema.get('description', ''))}</p>" if schema.get("description") else ""
    count = f'<span class="what">{len(rows)} fields{"" if needed else ", all optional"}</span>'
    return (
        f'<section id="form-{escape(name)}"><h3><span class="path">{escape(name)}</span>{count}</h3>{said}'
        f"<details><summary>Fields</summary>{_table(('name', 'type', 'meaning'), rows)}</details></section>"
    )


def _problems() -> str:
    rows = [
        f'<tr id="problem-{kind}"><td class="name">urn:quantkit:problem:{kind}</td><td>{status}</td>'
        f"<td>{escape(title)}</td></tr>"
        for kind, (title, status) in sorted(problem_types().items())
    ]
    return (
        '<h2 id="problems">Problems</h2><section><p>Errors are documents of the type '
        "<code>application/problem+json</code>; <code>type</code> is stable, <code>detail</code> is a sentence.</p>"
        f"{_table(('type', 'status', 'title'), rows)}</section>"
    )


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(name: str, schema: dict[str, Any], said: str, *, needed: bool, example: list[Any] | None = None) -> str:
    example = example or schema.get("examples")
    extras = []
    if "default" in schema and schema["default"] is not None:
        extras.append(f"default <code>{escape(json.dumps(schema['default']))}</code>")
    if example:
        extras.append(f"such as <code>{escape(json.dumps(example[0]))}</code>")
    mark = ' <span class="need" title="needed">needed</span>' if needed else ""
    note = f'<span class="muted"> {", ".join(extras)}</span>' if extras else ""
    return (
        f'<tr><td class="name">{escape(name)}{mark}</td><td class="type">{_type(schema)}</td>'
        f"<td>{_inline(said)}{note}</td></tr>"
    )


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link where it has a name."""
    if name := _name_of(schema):
        return f'<a href="#form-{escape(name)}">{escape(name)}</a>'
    if "enum" in schema:
        return " ".join(f"{escape(str(each))}" for each in schema["enum"])
    if "const" in schema:
        return escape(str(schema["const"]))
    if found := schema.get("anyOf"):
        parts = list(dict.fromkeys(_type(each) for each in found))
        return " or ".join(part for part in parts if part)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"{_type(schema['additionalProperties'])} by name"
    return escape(schema.get("format", kind))


def _name_of(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^a-z]+", "-", f"{method}{path}".lower()).strip("-")


def _inline(text: str) -> str:
    """Escaped text with its `code` marked."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(" ".join(text.split()), quote=False))
