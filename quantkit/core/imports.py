"""Imports that would cost more than what they are for."""

from __future__ import annotations

import sys

__all__ = ["spare_grammars"]


def spare_grammars() -> None:
    """Import jsonschema, which Voila, papermill and nbconvert bring along, without its check of IRIs.

    That check compiles an Earley grammar when it is imported: 1.4 of the 2.5 seconds in which a dashboard server was
    imported, and a third of a cold report's time. Neither the schema of notebooks nor that of Jupyter's events names
    an IRI. A process that has imported jsonschema before keeps it as it is.
    """
    name = "rfc3987_syntax"
    if "jsonschema" in sys.modules or name in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's sign for what is not there
    try:
        import jsonschema  # noqa: F401
    finally:
        del sys.modules[name]
