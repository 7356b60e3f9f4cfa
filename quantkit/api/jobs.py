"""Questions that take longer than their asker waits: told where the answer will be, how far it is, and what came out.

A job's id is the fingerprint of its answer, so that whoever asks the same has the same job. What was asked is kept in
the store before it is begun and the answer when it is there: neither depends on this process, and a job that a stopped
server left unfinished goes on as soon as somebody looks at it again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from quantkit.api.answers import Answer, answer_of, plan
from quantkit.api.problems import Problem, RefusedError, TooManyError, problem_of, unexpected
from quantkit.core.errors import Cancelled, QuantkitError
from quantkit.core.progress import Progress

if TYPE_CHECKING:
    from quantkit.api.service import Service
    from quantkit.compute import Task

__all__ = ["JobOfServer", "Jobs"]

AT_ONCE: Final = 2
UNFINISHED: Final = 32
REMEMBERED: Final = 500


class JobOfServer:
    """One question under way in this process, or its end."""

    def __init__(self, task: Task, question: str, prefix: str = "") -> None:
        self.id = task.fingerprint
        self.location = f"{prefix}/v1/jobs/{self.id}"
        self.task = task
        self.question = question
        self.steps = (0, 1, "waiting")
        self.answer: Answer | None = None
        self.problem: Problem | None = None
        self.withdrawn = threading.Event()
        self.ended = asyncio.Event()

    @property
    def status(self) -> str:
        """As in ``schemas.Job``."""
        if not self.ended.is_set():
            return "running"
        if self.answer is not None:
            return "done"
        return "cancelled" if self.withdrawn.is_set() else "failed"

    def report(self, done: int, total: int, doing: str = "") -> None:
        """The progress that the computation tells; ends it once it is withdrawn."""
        self.steps = (done, total, doing)
        if self.withdrawn.is_set():
            raise Cancelled("the job was cancelled")

    def body(self) -> dict[str, Any]:
        """As in ``schemas.Job``."""
        done, total, doing = self.steps
        return {
            "id": self.id,
            "question": self.question,
            "status": self.status,
            "progress": {"done": done, "total": total, "doing": doing},
            "location": self.location,
            "result": f"{self.location}/result" if self.answer is not None else None,
            "problem": None if self.problem is None else self.problem.document,
        }


class Jobs:
    """The jobs of a server.

    Parameters
    ----------
    service : Service
    prefix : str
        Path before that of every address it tells.
    """

    def __init__(self, service: Service, prefix: str = "") -> None:
        self._service = service
        self._prefix = prefix
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="quantkit-job")
        self._jobs: OrderedDict[str, JobOfServer] = OrderedDict()
        self._running: set[asyncio.Future[Any]] = set()

    async def ask(self, question: str, arguments: dict[str, Any], *, wait: float) -> JobOfServer:
        """The job of a question, begun if nobody has asked it yet; ended already where it took less than `wait` s.

        Raises
        ------
        QuantkitError
            The question itself cannot be answered.
        """

        def look(progress: Progress) -> tuple[Task, dict[str, Any] | None]:
            task = plan(self._service.desk, question, arguments)
            return task, self._service.desk.store.result(task.fingerprint)

        task, kept = await self._service.run(look)
        job = self._jobs.get(task.fingerprint)
        if job is None or job.status in ("failed", "cancelled"):
            job = JobOfServer(task, question, self._prefix)
            if kept is not None:
                self._end(job, answer_of(question, task.result(kept)))  # type: ignore[arg-type]
            else:
                await self._begin(job, arguments)
            self._remember(job)
        if not job.ended.is_set() and wait > 0:
            waiting = asyncio.ensure_future(job.ended.wait())
            stopping = asyncio.ensure_future(self._service.stopping.wait())
            _, pending = await asyncio.wait({waiting, stopping}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for each in pending:
                each.cancel()
        return job

    async def find(self, fingerprint: str) -> JobOfServer:
        """The job by its id; one that an earlier server left is taken up again.

        Raises
        ------
        RefusedError
            There is none, or the data have changed since it was asked.
        Cancelled
            It was withdrawn while an earlier server had it.
        """
        job = self._jobs.get(fingerprint)
        if job is not None:
            return job

        def look(progress: Progress) -> tuple[dict[str, Any] | None, bool]:
            store, key = self._service.desk.store, _record(fingerprint)
            return store.result(key), store.tasks.cancelled(key)

        asked, withdrawn = await self._service.run(look)
        if withdrawn:
            raise Cancelled("the job was cancelled; ask the question again")
        if asked is None:
            raise RefusedError(Problem.own("not-found", f"there is no job {fingerprint[:40]}; ask the question again"))
        job = await self.ask(asked["question"], asked["arguments"], wait=0)
        if job.id != fingerprint:
            raise RefusedError(
                Problem.own("not-found", "the data have changed since this was asked; it is under way as " + job.id)
            )
        return job

    async def cancel(self, fingerprint: str) -> JobOfServer:
        """Withdraw a job for everybody who asked it; one that has ended stays as it is."""
        job = await self.find(fingerprint)
        if not job.ended.is_set():
            job.withdrawn.set()
            await self._service.run(lambda progress: self._service.desk.store.tasks.cancel(_record(fingerprint)))
            await job.ended.wait()
        return job

    async def finish(self, seconds: float) -> int:
        """Give running jobs `seconds` to end, then withdraw them; how many were left for a later server."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        left = [job for job in self._jobs.values() if not job.ended.is_set()]
        for job in left:
            job.withdrawn.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        return len(left)

    async def _begin(self, job: JobOfServer, arguments: dict[str, Any]) -> None:
        if len(self._running) >= UNFINISHED:
            raise TooManyError(f"{UNFINISHED} jobs are under way or wait", 10.0)
        loop = asyncio.get_running_loop()
        store = self._service.desk.store

        def keep(progress: Progress) -> None:
            asked = {"question": job.question, "arguments": arguments}
            store.tasks.forget(_record(job.id))
            store.put_result(_record(job.id), question={"job": job.question}, answer=asked, seconds=0.0)

        await self._service.run(keep)
        future = loop.run_in_executor(self._threads, self._work, job)
        self._running.add(future)

        def over(done: asyncio.Future[Any]) -> None:
            self._running.discard(done)
            if done.cancelled():
                return
            found = done.result()
            self._end(job, found if isinstance(found, Answer) else None, found if isinstance(found, Problem) else None)

        future.add_done_callback(over)

    def _work(self, job: JobOfServer) -> Answer | Problem:
        try:
            job.report(0, 1, "starting")
            result = self._service.desk.compute.run(job.task, progress=job.report)
            return answer_of(job.question, result)  # type: ignore[arg-type]
        except QuantkitError as error:
            return problem_of(error)
        except Exception as error:
            return unexpected(error)

    def _end(self, job: JobOfServer, answer: Answer | None, problem: Problem | None = None) -> None:
        job.answer, job.problem = answer, problem
        if answer is not None:
            job.steps = (1, 1, "")
        job.ended.set()

    def _remember(self, job: JobOfServer) -> None:
        self._jobs[job.id] = job
        self._jobs.move_to_end(job.id)
        for other in list(self._jobs):
            if len(self._jobs) <= REMEMBERED:
                break
            if self._jobs[other].ended.is_set():
                del self._jobs[other]


def _record(fingerprint: str) -> str:
    """Under what the store keeps which question a fingerprint belongs to."""
    return f"job {fingerprint}"
