"""A papermill engine that runs a notebook's cells in this process: the kernel that is warm already.

A kernel of its own costs a report two to three seconds of starting and importing, and a second copy of pandas and
statsmodels in memory. A worker that renders a hundred reports has loaded all that once. Cells still run one after the
other in a namespace of their own, by IPython, and their outputs are what a kernel would have sent.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Final

from papermill.engines import Engine, papermill_engines

__all__ = ["ENGINE", "WarmEngine"]

ENGINE: Final = "quantkit"


class WarmEngine(Engine):
    """``papermill.execute_notebook(..., engine_name="quantkit")``."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> None:
        """Run the cells up to the first that raises; what they display stays with them as in a kernel."""
        with _shell() as shell:
            for at, cell in enumerate(nb_man.nb.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                nb_man.cell_start(cell, at)
                cell.outputs, error = _run(shell, cell.source)
                if error is not None:
                    nb_man.cell_exception(cell, cell_index=at, exception=error)
                    raise error
                nb_man.cell_complete(cell, at)


@contextmanager
def _shell() -> Iterator[Any]:
    """An IPython shell that keeps no history, is the one that ``display`` finds, and leaves the process as it was."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    quiet = Config({"HistoryManager": {"enabled": False}, "HistoryAccessor": {"enabled": False}})
    modules, hooks = sys.modules.get("__main__"), (sys.excepthook, sys.displayhook)
    # In JupyterLab there is one already: it steps aside for as long as the cells run.
    outer = InteractiveShell._instance
    if outer is not None:
        type(outer).clear_instance()
    shell = InteractiveShell.instance(config=quiet, user_ns={}, colors="nocolor")
    # A traceback goes to whoever asked, not to the terminal.
    shell.showtraceback = lambda *args, **kwargs: None  # type: ignore[method-assign]
    try:
        yield shell
    finally:
        InteractiveShell.clear_instance()
        if outer is not None:
            for each in type(outer)._walk_mro():
                each._instance = outer
        shell.restore_sys_module_state()
        sys.excepthook, sys.displayhook = hooks
        if modules is not None:
            sys.modules["__main__"] = modules


def _run(shell: Any, source: str) -> tuple[list[Any], BaseException | None]:
    from IPython.core.displayhook import CapturingDisplayHook
    from IPython.core.displaypub import CapturingDisplayPublisher
    from nbformat.v4 import new_output

    published = shell.display_pub = CapturingDisplayPublisher()
    shell.display_trap.hook = CapturingDisplayHook(shell=shell, outputs=published.outputs)
    said = {"stdout": io.StringIO(), "stderr": io.StringIO()}
    with redirect_stdout(said["stdout"]), redirect_stderr(said["stderr"]):
        result = shell.run_cell(source, store_history=False)
    outputs = [new_output("stream", name=name, text=each.getvalue()) for name, each in said.items() if each.getvalue()]
    outputs += [
        new_output("display_data", data=each["data"], metadata=each.get("metadata") or {}) for each in published.outputs
    ]
    return outputs, result.error_before_exec or result.error_in_exec


papermill_engines.register(ENGINE, WarmEngine)
