"""Reports to a mailbox: one mail a run, HTML and plain text, over SMTP; and each alert only once.

Mail programs show no inline SVG: in the mail a chart gives way to its caption, and the pages go along as attachments,
where everything is.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import make_msgid, parseaddr
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

from quantkit.core.errors import SettingsError, VendorDownError
from quantkit.reporting.alerts import Alert

if TYPE_CHECKING:
    from quantkit.data.store import Store
    from quantkit.reporting.batch import Run
    from quantkit.settings import Settings

__all__ = ["for_mail", "mark_sent", "message", "plain_text", "send", "unsent"]

#: Bytes of attachments in one mail; a run with more says where its pages are instead.
ATTACHED: Final = 8_000_000
SECONDS: Final = 30.0
_SKIPPED: Final = frozenset({"style", "script", "title", "svg"})
_BLOCKS: Final = frozenset({"p", "li", "tr", "h1", "h2", "header", "section", "figcaption", "caption", "footer", "ul"})


def message(run: Run, settings: Settings, alerts: list[Alert]) -> EmailMessage:
    """The mail of a run.

    Parameters
    ----------
    run : Run
        The body is its only report, or its index where it has several.
    settings : Settings
        ``mail_sender`` and ``mail_to``.
    alerts : list of Alert
        Those that no mail has told yet: they make the subject.

    Raises
    ------
    SettingsError
        An address is missing or is none.
    """
    done = [each for each in run.entries.values() if each.status == "done"]
    shown = run.folder / (done[0].file if len(run.entries) == 1 and done else "index.html")
    html = shown.read_text()
    mail = EmailMessage()
    mail["Subject"] = _subject(run, alerts)
    mail["From"] = _address(settings.mail_sender, "QUANTKIT_MAIL_SENDER")
    mail["To"] = ", ".join(_address(each, "QUANTKIT_MAIL_TO") for each in settings.mail_to) or _missing(
        "QUANTKIT_MAIL_TO"
    )
    mail["Message-ID"] = make_msgid(domain="quantkit.invalid")
    mail["Auto-Submitted"] = "auto-generated"
    pages = [run.folder / each.file for each in done]
    fits = sum(each.stat().st_size for each in pages) <= ATTACHED
    said = "" if fits else f"\n\nThe {len(pages)} pages are too large for a mail; they are in {run.folder}."
    mail.set_content(plain_text(html) + said)
    mail.add_alternative(for_mail(html), subtype="html")
    for path in pages if fits else []:
        mail.add_attachment(path.read_text(), subtype="html", filename=path.name)
    return mail


def send(mail: EmailMessage, settings: Settings, *, context: ssl.SSLContext | None = None) -> None:
    """Hand `mail` to the SMTP server of the settings.

    Parameters
    ----------
    mail : EmailMessage
    settings : Settings
        ``mail_host mail_port mail_security mail_user mail_password``.
    context : SSLContext, optional
        Whom to trust; by default the machine's authorities.

    Raises
    ------
    SettingsError
        No server is set, the password is refused, or would travel in the clear.
    VendorDownError
        The server cannot be reached or does not take the mail; carries its words, never the password.
    """
    host, port = settings.mail_host or _missing("QUANTKIT_MAIL_HOST"), settings.mail_port
    if settings.mail_password is not None and settings.mail_security == "none":
        raise SettingsError(
            "QUANTKIT_MAIL_SECURITY is none: the password would travel in the clear; use starttls or tls"
        )
    trusted = context or ssl.create_default_context()
    try:
        if settings.mail_security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=trusted)
        else:
            server = smtplib.SMTP(host, port, timeout=SECONDS)
        try:
            if settings.mail_security == "starttls":
                server.starttls(context=trusted)
            if settings.mail_user and settings.mail_password is not None:
                server.login(settings.mail_user, settings.mail_password.get_secret_value())
            server.send_message(mail)
        finally:
            # No farewell: on a connection that is broken it would be waited for until the time-out.
            server.close()
    except smtplib.SMTPAuthenticationError:
        raise SettingsError(
            f"mail server {host}:{port} refuses QUANTKIT_MAIL_USER and QUANTKIT_MAIL_PASSWORD"
        ) from None
    except (OSError, smtplib.SMTPException) as error:
        raise VendorDownError(f"mail server {host}:{port} does not take the mail: {_words(error)}") from None


def unsent(store: Store, alerts: list[Alert]) -> list[Alert]:
    """Those of `alerts` that no mail has told yet, by their event."""
    return [each for each in alerts if store.result(each.identity) is None]


def mark_sent(store: Store, alerts: list[Alert]) -> None:
    """Remember that a mail has told `alerts`; with the other results, for ``keep_results_days``."""
    for each in alerts:
        store.put_result(each.identity, question={"kind": "alert sent"}, answer=each.to_dict(), seconds=0.0)


def for_mail(html: str) -> str:
    """A page as a mail's body: without pictures that mail programs drop, and without buttons."""
    body = re.sub(r"<svg\b.*?</svg>", "", html, flags=re.DOTALL)
    return re.sub(r"<input\b[^>]*>|<label\b.*?</label>|<span class=\"sortby\">.*?</span>", "", body, flags=re.DOTALL)


def plain_text(html: str) -> str:
    """A page as text: a line a paragraph or a row, cells apart by two blanks."""
    reader = _Reader()
    reader.feed(html)
    lines = (" ".join(line.split(" ")).strip() for line in "".join(reader.parts).splitlines())
    text = re.sub(r"[ \t]{3,}", "  ", "\n".join(lines))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag in _BLOCKS:
            self.parts.append("\n\n" if tag in ("h1", "h2", "section") else "\n")
        elif tag in ("td", "th"):
            self.parts.append("  ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping -= 1

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.parts.append(re.sub(r"\s+", " ", data))


def _subject(run: Run, alerts: list[Alert]) -> str:
    names = list(run.entries)
    what = names[0] if len(names) == 1 else f"{len(names)} reports"
    told = ", ".join(dict.fromkeys(f"{each.symbol} {each.title.lower()}" for each in alerts))
    failed = f" ({len(run.failed)} failed)" if run.failed else ""
    subject = f"{what} {run.date}{failed}" + (f": {told}" if told else "")
    # A header is one line, whatever a symbol was called.
    return " ".join(subject.split())[:200]


def _address(value: str | None, setting: str) -> str:
    address = parseaddr(value or "")[1]
    if not re.fullmatch(r"[^@\s<>,;]+@[^@\s<>,;]+", address):
        raise SettingsError(f"{setting} is {'not set' if not value else f'{value[:60]!r}'}; expected an address")
    return str(value)


def _missing(setting: str) -> str:
    raise SettingsError(f"{setting} is not set: reports cannot be mailed")


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {said}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refuses {', '.join(error.recipients)}"
    return f"{type(error).__name__} {error}".strip()
