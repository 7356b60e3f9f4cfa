"""``quantkit up``: the dashboards and what computes for them, under a supervisor that restarts what fails."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantkit.core.errors import SettingsError
from quantkit.serve.dashboard import check_exposure
from quantkit.serve.ports import bind, holder
from quantkit.settings import Settings

__all__ = ["Program", "left_over", "programs", "run_up"]

WORKERS: Final = 2
RUN_MARK: Final = "QUANTKIT_RUN"
"""In the environment of every process of a run: the run's folder, by which a killed run's processes are found."""

API_GRACE: Final = 6
"""Seconds for the API's requests under way, within those that the supervisor waits before it kills."""

SECONDS_TO_ANSWER: Final = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """One line of the supervisor's table: what runs, in how many processes, and in what order it starts.

    What is to be done `once` is not started again when it has ended.
    """

    name: str
    command: tuple[str, ...]
    count: int = 1
    priority: int = 100
    once: bool = False


def programs(
    settings: Settings, run: Path, *, ip: str, port: int, base_url: str = "/", insecure: bool = False
) -> list[Program]:
    """What a run consists of; the files in `run` tell the processes about each other.

    Each of them also ends with the process that supervises it, however that ended.
    """
    # The token opens the dashboards only: without keys of its own the API stays on this machine.
    api_ip = ip if settings.api_keys is not None or insecure else "127.0.0.1"
    # Dashboards on a port of the system's choice are a run beside others.
    api_port = settings.api_port if port else 0
    python, follow = sys.executable, ("--follow", str(os.getpid()))
    table = [
        Program(
            "dashboard",
            (
                python, "-m", "quantkit.serve", "--ip", ip, "--port", str(port), "--base-url", base_url,
                "--address-file", str(run / "dashboard"), *follow, *(["--insecure"] if insecure else []),
                *(["--api-file", str(run / "api")] if api_ip == ip else []),
            ),
            priority=10,
        ),
        Program(
            "api",
            (
                python, "-m", "quantkit.api", "--ip", api_ip, "--port", str(api_port), "--grace", str(API_GRACE),
                "--address-file", str(run / "api"), *follow, *(["--insecure"] if insecure else []),
            ),
            priority=40,
        ),
    ]  # fmt: skip
    if settings.scheduler is None:
        compute = (python, "-m", "quantkit.compute")
        file = ("--address-file", str(run / "scheduler"))
        table += [
            Program("scheduler", (*compute, "scheduler", "--port", "0", *file, *follow), priority=20),
            Program("worker", (*compute, "worker", *file, *follow), count=WORKERS, priority=30),
        ]
    if collecting := collects(settings):
        command = (python, "-m", "quantkit.cli", "collect", *collecting, *follow)
        table.append(Program("collector", command, priority=50))
    if settings.warm:
        after = ("--after", str(run / "dashboard"))
        table.append(Program("warm", (python, "-m", "quantkit.serve.warm", *after, *follow), priority=60, once=True))
    return table


def collects(settings: Settings) -> tuple[str, ...]:
    """How the collector of a run collects: options of ``quantkit collect``; none where nothing changes.

    A replay loops; a vendor with a stream is listened to. The embedded sample stands still, and a vendor that allows
    few requests a day is left to the questions that people ask.
    """
    preferred = settings.provider[0]
    if preferred == "replay":
        return ("--replay", "MSFT,AZN.L,9988.HK", "--loop")
    return ("--stream",) if preferred in ("yahoo", "massive") else ()


def run_up(
    settings: Settings,
    *,
    ip: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    insecure: bool = False,
    base_url: str = "/",
    say: Callable[[str], None] | None = None,
) -> int:
    """Start everything and keep it running until Ctrl-C or SIGTERM, which stop everything.

    The dashboards' address is said once the page really answers. What a run's processes print goes to ``logs`` in
    `settings.home`.

    Returns
    -------
    int
        0 when it was told to stop, 1 when the dashboards could not be started.

    Raises
    ------
    SettingsError
        Another run has this home already, the home cannot be written to, or the dashboards would be open to everybody.
    """
    say = say or (lambda text: print(text, flush=True))
    if os.name != "posix":
        raise SettingsError("quantkit up needs Linux or macOS; quantkit dashboard works everywhere")
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    check_exposure(ip, token, insecure=insecure)
    for one in bind(ip, 0, say=say)[1]:  # an address that nobody can listen on is said now, not by a child's log
        one.close()
    run, logs = _folders(settings.home)
    _refuse_second_run(run)
    for pid, name in left_over(run):
        say(f"left over from a run that was killed: {name} (process {pid}); it is left alone, end it with: kill {pid}")

    wanted = settings.dashboard_port if port is None else port
    _mark(settings, run, token)
    for stale in ("dashboard", "scheduler", "api"):
        (run / stale).unlink(missing_ok=True)
    table = programs(settings, run, ip=ip, port=wanted, base_url=base_url, insecure=insecure)
    config = run / "supervisord.conf"
    config.write_text(_supervisor_config(table, run, logs))
    say("quantkit is starting ...")
    supervisor = _supervisor(config)
    (run / "up.json").write_text(json.dumps(_me()))
    watch = _Watch(supervisor, run, logs, wanted, say)
    watch.start()
    try:
        supervisor.main()
    except _stopped():
        pass
    finally:
        watch.over.set()
        for name in ("up.json", "dashboard", "scheduler", "api"):
            (run / name).unlink(missing_ok=True)
    say("quantkit has stopped" if not watch.failed else "quantkit could not be started")
    return 1 if watch.failed else 0


def left_over(run: Path) -> list[tuple[int, str]]:
    """Processes of an earlier run in `run` that outlived it: their numbers, and what they are."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN_MARK) == str(run):
                found.append((process.pid, _role(process.cmdline())))
        except (psutil.Error, OSError):
            continue
    return found


def _role(command: list[str]) -> str:
    # A process that has named itself has one word for all.
    words = [word for word in " ".join(command).split() if not word.startswith("-")]
    for module in ("quantkit.serve", "quantkit.api", "quantkit.compute", "quantkit.cli", "ipykernel_launcher"):
        if module in words:
            rest = words[words.index(module) + 1 :][:1]
            known = {"quantkit.serve": "dashboard", "quantkit.api": "api", "ipykernel_launcher": "a page's kernel"}
            return known.get(module, rest[0] if rest else module)
    return Path(words[0]).name if words else "a process"


def _folders(home: Path) -> tuple[Path, Path]:
    run, logs = home / "run", home / "logs"
    try:
        for folder in (home, run, logs):
            folder.mkdir(parents=True, exist_ok=True)
        run.chmod(0o700)
        probe = run / "probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"{home} cannot be written to ({error.strerror}): set QUANTKIT_HOME to a folder that can"
        ) from None
    return run, logs


def _me() -> dict[str, float]:
    import psutil

    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def _refuse_second_run(run: Path) -> None:
    import psutil

    try:
        other = json.loads((run / "up.json").read_text())
        process = psutil.Process(int(other["pid"]))
        running = process.create_time() == other["started"]
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return
    if running:
        where = _read(run / "dashboard")
        raise SettingsError(
            f"quantkit is running already (process {process.pid}{', at ' + where if where else ''}): "
            "stop that one, or set QUANTKIT_HOME to another folder"
        )


def _mark(settings: Settings, run: Path, token: str | None) -> None:
    # Through the environment: what stands on a command line can be read by every user of the machine.
    os.environ[RUN_MARK] = str(run)
    os.environ["QUANTKIT_HOME"] = str(settings.home)
    os.environ["QUANTKIT_SCHEDULER"] = settings.scheduler or str(run / "scheduler")
    if token:
        os.environ["QUANTKIT_TOKEN"] = token


def _supervisor_config(table: list[Program], run: Path, logs: Path) -> str:
    def text(value: object) -> str:
        return str(value).replace("%", "%%")

    def word(part: str) -> str:
        return text('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"')

    lines = [
        "[supervisord]",
        f"logfile={text(logs / 'supervisor.log')}",
        "logfile_maxbytes=1MB",
        "logfile_backups=1",
        f"pidfile={text(run / 'supervisord.pid')}",
        f"childlogdir={text(logs)}",
        "nodaemon=true",
        "silent=true",
        # As one group they are stopped together, not one after the other.
        "[group:quantkit]",
        f"programs={','.join(program.name for program in table)}",
    ]
    for program in table:
        several = program.count > 1
        lines += [
            f"[program:{program.name}]",
            f"command={' '.join(map(word, program.command))}",
            f"process_name={'%(program_name)s-%(process_num)d' if several else '%(program_name)s'}",
            f"numprocs={program.count}",
            f"priority={program.priority}",
            f"autorestart={str(not program.once).lower()}",
            # What ends sooner has not started, and after three more tries is given up; a slow machine takes seconds to
            # import what then fails.
            f"startsecs={0 if program.once else 15}",
            "startretries=3",
            "stopsignal=TERM",
            "stopwaitsecs=8",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={text(logs)}/{'%(program_name)s-%(process_num)d' if several else '%(program_name)s'}.log",
            "stdout_logfile_maxbytes=5MB",
            "stdout_logfile_backups=1",
        ]
    return "\n".join(lines) + "\n"


def _supervisor(config: Path) -> Any:
    from supervisor import supervisord
    from supervisor.options import ServerOptions

    options = ServerOptions()
    options.realize(["-n", "-c", str(config)], doc=supervisord.__doc__)
    options.first, options.test = True, False
    return supervisord.Supervisor(options)


def _stopped() -> tuple[type[BaseException], ...]:
    """What the supervisor raises when it has stopped everything."""
    from supervisor.medusa.asyncore_25 import ExitNow

    return (ExitNow, SystemExit)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


class _Watch(threading.Thread):
    """Says where the dashboards are once they answer, what was restarted, and gives up when they cannot start."""

    def __init__(self, supervisor: Any, run: Path, logs: Path, wanted: int, say: Callable[[str], None]) -> None:
        super().__init__(name="quantkit-up-watch", daemon=True)
        self._supervisor, self._run, self._logs, self._wanted, self._say = supervisor, run, logs, wanted, say
        self._pids: dict[str, int] = {}
        self._announced = self._announced_api = ""
        self.over = threading.Event()
        self.failed = False

    def run(self) -> None:
        began = time.monotonic()
        patient = True
        while not self.over.wait(0.3):
            self._announce()
            self._announce_api()
            if patient and not self._announced and time.monotonic() - began > SECONDS_TO_ANSWER:
                patient = False
                self._say(f"the dashboards do not answer yet; what they say is in {self._logs / 'dashboard.log'}")
            for process in self._processes():
                self._note(process)

    def _processes(self) -> list[Any]:
        groups = list((self._supervisor.process_groups or {}).values())
        return [process for group in groups for process in list(group.processes.values())]

    def _announce(self) -> None:
        where = _read(self._run / "dashboard")
        if not where or where == self._announced or not _answers(where):
            return
        taken = int(where.split("//", 1)[1].split("/", 1)[0].rsplit(":", 1)[1])
        if self._wanted and taken != self._wanted:
            self._say(f"port {self._wanted} is in use by {holder(self._wanted)}; taking {taken}")
        self._announced = where
        self._say(f"\n    quantkit is at  {where}\n\n    Ctrl-C stops everything; logs are in {self._logs}")

    def _announce_api(self) -> None:
        where = _read(self._run / "api")
        if self._announced and where and where != self._announced_api:
            self._announced_api = where
            self._say(f"    the REST API's manual is at  {where}")

    def _note(self, process: Any) -> None:
        from supervisor.states import ProcessStates

        name, state = process.config.name, process.get_state()
        if state == ProcessStates.FATAL and not self.failed:
            tail = _read(self._logs / f"{name}.log").splitlines()[-6:]
            self._say("\n".join([f"{name} cannot be started:", *(f"    {line}" for line in tail)]))
            if name == "dashboard":
                self.failed = True
                os.kill(os.getpid(), signal.SIGTERM)
        if process.pid:
            before = self._pids.get(name)
            if before is not None and before != process.pid:
                log = self._logs / f"{name}.log"
                self._say(f"{name} had ended and was started again (process {process.pid}); its log is {log}")
            self._pids[name] = process.pid


def _answers(where: str) -> bool:
    import urllib.request

    try:
        with urllib.request.urlopen(where, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
