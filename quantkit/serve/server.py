"""The dashboard server: Voila with this project's pages, its kernel manager, and its answers when there is no page."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
from jupyter_core.utils import run_sync
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.iostream import StreamClosedError
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler
from voila.tornado.treehandler import TornadoVoilaTreeHandler
from voila.utils import include_url

from quantkit.serve.bundle import Bundle, build
from quantkit.serve.config import TEMPLATE
from quantkit.serve.dashboard import is_loopback
from quantkit.serve.frame import frame, latest_reports
from quantkit.serve.kernels import Visit, VisitorKernelManager

__all__ = ["DashboardServer"]

PROTOCOL: Final = "v1.kernel.websocket.jupyter.org"


class _VisitKernels:
    """The kernel manager as one request sees it: it notes which kernel the request was given."""

    def __init__(self, kernels: VisitorKernelManager, visit: Visit) -> None:
        self._kernels = kernels
        self._visit = visit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    async def start_kernel(self, **kwargs: Any) -> str:
        self._visit.kernel_id = await self._kernels.start_kernel(**kwargs)
        return self._visit.kernel_id

    async def get_rendered_notebook(self, **kwargs: Any) -> Any:
        answer = await self._kernels.get_rendered_notebook(**kwargs)  # type: ignore[attr-defined]
        self._visit.kernel_id = answer[2]
        return answer


class _Framed(JupyterHandler):
    """A handler whose pages, errors included, have this project's frame."""

    def get_template(self, name: str) -> jinja2.Template:
        return self.settings["jinja2_env"].get_template(name)

    def render_template(self, name: str, **ns: Any) -> str:
        return str(super().render_template(name, frame=self.settings["quantkit_frame"](), **ns))


class _Notebook(TornadoVoilaHandler):
    """One dashboard. Its frame and skeleton are sent at once, then what its kernel renders."""

    visit: Visit | None = None

    @property
    def kernel_manager(self) -> Any:
        kernels = self.settings["kernel_manager"]
        return kernels if self.visit is None else _VisitKernels(kernels, self.visit)

    @web.authenticated
    async def get(self, path: str | None = None) -> None:
        kernels: VisitorKernelManager = self.settings["kernel_manager"]
        contents = self.contents_manager
        name = (path or "").strip("/")
        if not name.endswith(".ipynb") or contents.is_hidden(name) or not contents.file_exists(name):
            raise web.HTTPError(404)
        self.visit = visit = kernels.admit()
        if visit is None:
            self.set_status(503)
            self.set_header("Retry-After", "15")
            self.write(self.render_template("busy.html", limit=kernels.max_visitors))
            return
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        try:
            self.write(self.render_template("top.html.j2", screen=Path(name).stem, resources=None))
            await self.flush()
            async for html in self.get_generator(path=name):
                self.write(html)
                await self.flush()
        except StreamClosedError:
            self.log.info("The visitor of %s left before the page was complete", name)
        finally:
            kernels.release(visit, gone=self.request.connection.stream.closed())  # type: ignore[union-attr]

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self.visit is not None:
            self.settings["kernel_manager"].release(self.visit, gone=True)

    def render_template(self, name: str, **ns: Any) -> str:
        return str(super().render_template(name, frame=self.settings["quantkit_frame"](), **ns))


class _Home(TornadoVoilaTreeHandler):
    """The home page: static, no kernel."""

    def render_template(self, name: str, **ns: Any) -> str:
        return str(super().render_template(name, frame=self.settings["quantkit_frame"](), **ns))


class _Reports(_Framed):
    """The reports under the reports folder: an index, and each of them as a page of its own."""

    @web.authenticated
    async def get(self, path: str = "") -> None:
        folder: Path = self.settings["quantkit_reports"]
        if not path:
            self.write(self.render_template("reports.html", reports=latest_reports(folder)))
            return
        file = (folder / path).resolve()
        if file.suffix != ".html" or not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise web.HTTPError(404)
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.write(file.read_bytes())


class _Bundle(web.RequestHandler):
    """The screens' scripts in one file, kept by the browser for as long as its address stays the same."""

    def get(self) -> None:
        bundle: Bundle = self.settings["quantkit_bundle"]
        self.set_header("Content-Type", "text/javascript; charset=UTF-8")
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.set_header("Vary", "Accept-Encoding")
        packed = self.settings["quantkit_bundle_packed"]
        if packed and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.write(packed)
        else:
            self.write(bundle.script)


class _NotFound(_Framed):
    """Any address that nothing answers to."""

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        raise web.HTTPError(404)


class _Channels(VoilaKernelWebsocketHandler):
    """A page's connection to its kernel, in the one protocol that JupyterLab's front end speaks.

    Voila reads every answer as if it were in that protocol, and Jupyter believes the number of parts that a message
    claims to have: either lets one malformed message take all the memory there is.
    """

    async def get(self, kernel_id: str) -> None:
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if PROTOCOL not in [name.strip() for name in offered.split(",")]:
            raise web.HTTPError(400, f"only the websocket protocol {PROTOCOL} is spoken here")
        await super().get(kernel_id=kernel_id)

    def on_message(self, message: str | bytes) -> None:
        if not isinstance(message, bytes) or 8 * (int.from_bytes(message[:8], "little") + 1) > len(message):
            self.close(1003, "malformed message")
            return
        super().on_message(message)

    def write_message(self, message: bytes | dict[str, Any], binary: bool = False) -> Any:
        if self.ws_connection is None:
            # Its page has just gone. Of a connection that is no more Jupyter cannot tell the protocol, writes in its
            # older one, and Voila would read the first numbers of that as a count of parts: some 10 to the 17.
            return None
        return super().write_message(message, binary)


class DashboardServer(Voila):
    """Voila, listening on sockets that are bound already, with this project's handlers in front of Voila's own.

    The port must be known before the first kernel starts: a pre-heated kernel waits for its visitor's query at it.
    """

    def __init__(
        self,
        *,
        sockets: list[socket.socket],
        reports: Path,
        api_docs: str | Path | None = None,
        watchlist: tuple[str, ...] = (),
        on_listening: Callable[[], None] = lambda: None,
        follow: int | None = None,
        **kwargs: Any,
    ) -> None:
        self._sockets = sockets
        self._reports = reports
        self._api_docs = api_docs
        self._watchlist = watchlist
        self._on_listening = on_listening
        self._follow = follow
        self._bundle_address = ""
        super().__init__(**kwargs)

    def _frame(self) -> dict[str, Any]:
        known = frame(Path(self.root_dir), reports=self._reports, api_docs=self._api_docs, watchlist=self._watchlist)
        return {**known, "home": self.base_url, "bundle": self._bundle_address}

    def init_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = super().init_settings()
        server_env = settings["jinja2_env"]
        server_env.loader = jinja2.ChoiceLoader([jinja2.FileSystemLoader(self.template_paths), server_env.loader])
        if not os.environ.get("QUANTKIT_NO_BUNDLE"):
            bundle = build(self.static_paths, self.labextensions_path)
            self._bundle_address = f"{url_path_join(self.base_url, 'voila/quantkit/bundle.js')}?v={bundle.digest}"
            settings["quantkit_bundle"] = bundle
            settings["quantkit_bundle_packed"] = (
                bundle.compressed() if self.tornado_settings.get("compress_response") else b""
            )
        server_env.globals["include_url"] = partial(include_url, TEMPLATE, self.base_url)
        self.voila_configuration.config.VoilaConfiguration.resources = {
            "quantkit": {"top_sent": True, "bundle": self._bundle_address}
        }
        return {
            **settings,
            "quantkit_frame": self._frame,
            "quantkit_reports": self._reports,
            "default_handler_class": _NotFound,
            "default_handler_args": {},
        }

    def init_handlers(self) -> list[Any]:
        own = {"voila_configuration": self.voila_configuration}
        base = self.server_url
        return [
            (base, _Home, own),
            (url_path_join(base, r"/voila/tree/?"), _Home, own),
            (
                url_path_join(base, r"/voila/render/(.*)"),
                _Notebook,
                {**own, "template_paths": self.template_paths, "config": self.config},
            ),
            (url_path_join(base, r"/reports/(.*)"), _Reports),
            (url_path_join(base, r"/voila/quantkit/bundle\.js"), _Bundle),
            (url_path_join(base, r"/api/kernels/(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)/channels"), _Channels),
            # Voila's own stand at the root, where nothing leads to under a base URL.
            *((url_path_join(base, path), *rest) for path, *rest in self.identity_provider.get_handlers()),
            *super().init_handlers(),
        ]

    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        # Voila shows what notebooks compute anew, never what is stored in them, which is what trust is about.
        self.log.addFilter(lambda record: "is not trusted" not in record.getMessage())
        # Tornado reads Jupyter's milliseconds as seconds and warns; it is Jupyter that sends the pings and counts them.
        logging.getLogger("tornado.general").addFilter(lambda record: "websocket_ping" not in record.getMessage())

    def listen(self) -> None:
        # On loopback only a proxy of this machine can have set them; behind TLS they make the cookie a secure one.
        server = HTTPServer(self.app, xheaders=is_loopback(self.ip))
        server.add_sockets(self._sockets)
        self.ioloop = IOLoop.current()
        signal.signal(signal.SIGINT, self._handle_signal_stop)
        self.ioloop.add_callback(self._on_listening)
        if self._follow is not None:
            PeriodicCallback(self._stop_with, 2000).start()
        try:
            self.ioloop.start()
        finally:
            server.stop()
            self.stop()

    def _stop_with(self) -> None:
        import psutil

        if not psutil.pid_exists(self._follow):
            self.ioloop.stop()

    def stop(self) -> None:
        # At once rather than in order: what a kernel holds is in the store, and its visitor's page is told either way.
        run_sync(self.kernel_manager.shutdown_all)(now=True)
        shutil.rmtree(self.connection_dir, ignore_errors=True)
