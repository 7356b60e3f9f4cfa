"""What Voila is told: every setting explicitly, none from a file in the working directory or the user's home."""

from __future__ import annotations

import json
import sysconfig
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from traitlets.config import Config

import quantkit
from quantkit.core.errors import SettingsError
from quantkit.serve.frame import screens
from quantkit.serve.provisioner import NAME

__all__ = [
    "EXTENSIONS",
    "TEMPLATE",
    "OwnKernelSpecManager",
    "dashboards_folder",
    "jupyter_root",
    "shared_configuration",
    "voila_config",
    "voila_json",
]

TEMPLATE: Final = "quantkit"

EXTENSIONS: Final = (
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
    "bqplot",
    "bqscales",
    "ipydatagrid",
    "anywidget",
)
"""The only labextensions sent to a visitor; without the first, a page stays dead."""

CONTENT_POLICY: Final = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss: data: blob:; frame-ancestors 'self'"
)
"""Nothing is fetched from another host, whatever a widget or a vendor's text may ask for."""


KERNEL_OPTIONS: Final = ("--HistoryManager.enabled=False", "--log-level=ERROR")


class OwnKernelSpecManager(KernelSpecManager):
    """Kernels run in the Python that serves them, also where a user has registered another ``python3`` kernel."""

    def _kernel_dirs_default(self) -> list[str]:
        return []

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The native kernel, told to keep no input history: a visitor's kernel writes nothing to the user's home."""
        spec = super().get_kernel_spec(kernel_name)
        spec.argv = [*spec.argv, *(option for option in KERNEL_OPTIONS if option not in spec.argv)]
        spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": NAME}}
        return spec


def jupyter_root() -> Path:
    """The folder for ``JUPYTER_PATH`` under which Voila finds the page template."""
    return Path(__file__).with_name("share") / "jupyter"


def dashboards_folder() -> Path:
    """Where the dashboards' notebooks are: beside the package in a clone, else in the installed wheel's shared data.

    Raises
    ------
    SettingsError
        Neither place holds a notebook; names both.
    """
    places = (
        Path(quantkit.__file__).parents[1] / "dashboards",
        Path(sysconfig.get_path("data")) / "share" / "quantkit" / "dashboards",
    )
    for place in places:
        if any(place.glob("*.ipynb")):
            return place
    raise SettingsError(f"no dashboard notebooks in {places[0]} nor in {places[1]}: is quantkit installed completely?")


def shared_configuration() -> dict[str, Any]:
    """The part of the configuration that also holds when Voila runs as an extension of a Jupyter server (Binder).

    ``dashboards/voila.json`` is this and the tabs; see :func:`voila_json`.
    """
    return {
        "template": TEMPLATE,
        "theme": "dark",
        "allow_template_override": "NO",
        "allow_theme_override": "NO",
        "show_tracebacks": False,
        "strip_sources": True,
        "extension_allowlist": list(EXTENSIONS),
        "file_allowlist": [],
        "file_denylist": [".*"],
    }


def voila_config(*, max_kernels: int, token: str | None, base_url: str, compress: bool) -> Config:
    """The whole configuration of a dashboard server.

    Parameters
    ----------
    max_kernels : int
        Pages that may be open at once.
    token : str or None
        What a visitor must know; None lets everybody in.
    base_url : str
        Path under which everything is served, ``/`` or ``/desk/``.
    compress : bool
        Whether answers are compressed, which pays on a network and costs on loopback.
    """
    return Config(
        {
            "Voila": {
                "base_url": base_url,
                "open_browser": False,
                "token": token or "",
                "tornado_settings": {
                    "compress_response": compress,
                    # Milliseconds: a visitor whose network went silent is given up after half a minute.
                    "ws_ping_interval": 10_000,
                    "ws_ping_timeout": 30_000,
                    "headers": {
                        "Content-Security-Policy": CONTENT_POLICY,
                        "Referrer-Policy": "same-origin",
                        "X-Content-Type-Options": "nosniff",
                    },
                },
            },
            "VoilaConfiguration": {
                **shared_configuration(),
                "preheat_kernel": True,
                "default_pool_size": 1,
                "progressive_rendering": False,
                "multi_kernel_manager_class": "quantkit.serve.kernels.VisitorKernelManager",
                "kernel_spec_manager_class": "quantkit.serve.config.OwnKernelSpecManager",
                "attempt_fix_notebook": True,
            },
            "VisitorKernelManager": {"max_visitors": max_kernels},
            # A kernel that died has lost its visitor's state: starting an empty one in its place would leave a page
            # that looks alive and answers nothing.
            "KernelRestarter": {"restart_limit": 0},
        }
    )


def voila_json(folder: Path) -> str:
    """The text of ``voila.json`` in the dashboards' `folder`, which Voila reads as an extension of a Jupyter server.

    The tabs are told through it: nothing renders the frame of a page there but the template itself.
    """
    told = {"quantkit": {"screens": [asdict(screen) for screen in screens(folder)]}}
    return json.dumps({"VoilaConfiguration": {**shared_configuration(), "extension_config": told}}, indent=2) + "\n"
