"""Panels of a screen that wait for an answer: heading, explanation, progress, error in place, and exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets
import traitlets as t

from quantkit.ui.formats import escape
from quantkit.ui.question import Question

if TYPE_CHECKING:
    from quantkit.ui.page import Page

__all__ = ["AnswerPanel", "QuestionLine", "explained", "page_tools"]


def explained(about: str, text: str) -> str:
    """A "?" that opens into what a figure is: formula, window, period, method."""
    return (
        f"<details class='qk-help'><summary aria-label='What is {escape(about)}?'>?</summary>"
        f"<p>{escape(text)}</p></details>"
    )


class QuestionLine(widgets.Box):
    """Where a question stands, in place: progress with Cancel, or the error with Retry; nothing once it is answered."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._said = widgets.HTML()
        self._cancel = widgets.Button(description="Cancel", tooltip=f"Stop working out the {question.name}")
        self._retry = widgets.Button(description="Retry", tooltip=f"Ask for the {question.name} again")
        for button, act in ((self._cancel, question.cancel), (self._retry, question.again)):
            button.add_class("qk-inline-button")
            button.on_click(lambda clicked, act=act: act())
        super().__init__([self._said, self._cancel, self._retry])
        self.add_class("qk-question")
        question.observe(lambda change: self._show(), ["busy", "error", "share", "said"])
        self._show()

    def _show(self) -> None:
        question = self.question
        self._cancel.layout.display = None if question.busy else "none"
        self._retry.layout.display = None if question.error else "none"
        self.layout.display = None if question.busy or question.error else "none"
        if question.busy:
            words = escape(question.said or f"Working out the {question.name} …")
            self._said.value = (
                f"<p class='qk-progress' role='status' style='--share:{question.share:.3f}'><i></i>{words}</p>"
            )
        elif question.error:
            self._said.value = f"<p class='qk-fault' role='alert'>{escape(question.error)}</p>"


class AnswerPanel(widgets.Box):
    """A bordered part of a screen around what a question answers.

    Parameters
    ----------
    heading : str
    content : widgets
    questions : Question or sequence of them
    help : str
        What stands behind the "?".
    tools : sequence of widgets
        At the heading's right.
    area : str
        CSS class that places it in its screen.

    Attributes
    ----------
    shown : bool
        Whether it is there at all.
    """

    shown = t.Bool(True)

    def __init__(
        self,
        heading: str,
        content: Sequence[widgets.Widget],
        *,
        questions: Sequence[Question] = (),
        help: str = "",
        tools: Sequence[widgets.Widget] = (),
        area: str = "",
    ) -> None:
        title = widgets.HTML(
            f"<h2 class='qk-heading'>{escape(heading)}{explained(heading, help) if help else ''}</h2>"
        ).add_class("qk-panel-title")
        head = widgets.Box([title, *tools]).add_class("qk-panel-head")
        self._parts = (head, *(QuestionLine(each) for each in questions), *content)
        super().__init__(self._parts)
        self.add_class("qk-panel").add_class("qk-answer")
        if area:
            self.add_class(area)
        for each in questions:
            each.observe(lambda change: self._mark(questions), "busy")
        self.observe(lambda change: self._place(), "shown")

    def _mark(self, questions: Sequence[Question]) -> None:
        (self.add_class if any(each.busy for each in questions) else self.remove_class)("qk-waiting")

    def _place(self) -> None:
        # A figure that is drawn where it cannot be seen has no size, which bqplot complains of.
        self.layout.display = None if self.shown else "none"
        self.children = self._parts if self.shown else ()


def page_tools(page: Page, name: Callable[[], str], code: Callable[[], str]) -> list[widgets.Widget]:
    """What one takes away from a screen as a whole: the same question as a notebook."""
    from quantkit.ui.controls import Action
    from quantkit.ui.notebooks import notebook

    def give() -> None:
        page.download(f"{name()}.ipynb", notebook(name(), code()), mime="application/x-ipynb+json")

    return [Action("Notebook", "Download this question as a notebook for JupyterLab", give)]
