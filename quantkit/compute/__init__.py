"""Where heavy questions run: on a Dask cluster, in one helper process, or here; the same bits either way.

A face hands a :class:`Task` to a :class:`Compute` and waits. An answer kept under the task's fingerprint is served,
never computed again; two who ask the same share one computation; whoever computes writes the answer to the store, so
that it outlives the asker. A cluster that is missing, frozen or dead costs seconds, never a hang.

Giving up: an asker withdraws by raising from its `progress` callback, and all askers of a process at once by
``cancel(fingerprint)``. The computation itself stops when its last asker, in whatever process, has withdrawn. An asker
that vanishes (a closed page, a killed kernel) has not withdrawn: its answer is finished and kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from quantkit.compute.shared import Backend, Compute, Fallback, InlineBackend, SharedCompute
from quantkit.compute.task import Task

if TYPE_CHECKING:
    from quantkit.data.store import Store
    from quantkit.settings import Settings

__all__ = ["Compute", "Task", "open_compute"]


def open_compute(settings: Settings, store: Store, *, isolate: bool | None = None) -> Compute:
    """The place where this process's heavy questions are answered.

    Parameters
    ----------
    settings : Settings
        `scheduler` is tried first where it is set: the address of any Dask cluster, such as ``tcp://10.0.0.7:8786``,
        or the absolute path of the ``--address-file`` of the local one, which spares this process the Dask client.
    store : Store
        Where answers are kept; whoever computes opens the same one.
    isolate : bool, optional
        True where this process must stay small and responsive (a dashboard's kernel): without a cluster one helper
        process answers. False answers here. By default ``QUANTKIT_ISOLATE=1`` in the environment decides.

    Returns
    -------
    Compute
        Nothing is connected or started before the first question, or ``warm()``.
    """
    if isolate is None:
        isolate = os.environ.get("QUANTKIT_ISOLATE", "") not in ("", "0")
    backend: Backend = InlineBackend(store)
    if isolate:
        from quantkit.compute.process import ProcessBackend

        backend = ProcessBackend(settings)
    if settings.scheduler:
        backend = Fallback(_cluster(settings, store), backend)
    return SharedCompute(store, backend)


def _cluster(settings: Settings, store: Store) -> Backend:
    assert settings.scheduler is not None
    path = Path(settings.scheduler.removeprefix("file://"))
    if path.is_absolute():
        from quantkit.compute.broker import BrokerBackend

        return BrokerBackend(settings, path)
    from quantkit.compute.cluster import DaskBackend

    return DaskBackend(settings, store)
