"""The dashboards' pages as a visitor's browser sees them."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest
from jupyter_server.services.kernels.connection.base import serialize_binary_message, serialize_msg_to_ws_v1
from voila.tornado import kernel_websocket_handler

from quantkit.serve import assets
from quantkit.serve.bundle import build
from quantkit.serve.config import EXTENSIONS, dashboards_folder, voila_json
from quantkit.serve.server import PROTOCOL, _Channels
from quantkit.ui.theme import THEMES

pytestmark = pytest.mark.browser

POOL = 3  # one kernel waits for each notebook in tests/browser/notebooks


@pytest.fixture(scope="module")
def server(serve, notebooks):
    with serve(notebooks) as running:
        yield running


def fetch(address, **headers):
    """Status, headers and text of an address, whatever its status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def tell(visitor, **values):
    """Have the kernel of the `live` notebook say `values` to its page."""
    visitor.page.evaluate(
        """text => { const input = document.querySelector('.qk-command input');
                     input.value = text; input.dispatchEvent(new Event('change', {bubbles: true})); }""",
        json.dumps(values),
    )


# --- what needs no kernel


def test_the_committed_style_sheet_and_voila_json_are_what_their_sources_give():
    assert assets.STYLESHEET.read_text() == assets.stylesheet(), "run python -m quantkit.serve.assets"
    assert (dashboards_folder() / "voila.json").read_text() == voila_json(dashboards_folder())


def test_a_server_starts_without_compiling_the_grammar_of_iris():
    script = """
import sys
from quantkit.core.errors import SettingsError
from quantkit.serve.dashboard import run_dashboard
from quantkit.settings import Settings
try:
    run_dashboard(Settings(), ip="0.0.0.0")
except SettingsError:
    print("voila" in sys.modules, "lark" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("theme", THEMES)
def test_every_token_of_both_themes_is_a_variable_on_the_page(theme, server, visit):
    visitor = visit()
    visitor.page.add_init_script(f"localStorage.setItem('qk-theme', '{theme}')")
    visitor.open(server.base)
    tokens = THEMES[theme]
    for name in (name for name in tokens.__slots__ if isinstance(getattr(tokens, name), str)):
        value = visitor.said(f"getComputedStyle(document.documentElement).getPropertyValue('--qk-{name}').trim()")
        assert value == getattr(tokens, name)


def test_home_lists_the_screens_that_exist_and_starts_no_kernel(server, visit):
    server.settle(POOL)
    before = {kernel.pid for kernel in server.kernels()}
    visitor = visit()
    visitor.open(server.base)
    cards = visitor.said("[...document.querySelectorAll('.qk-card')].map(card => card.pathname)")
    assert cards == [f"/voila/render/{name}.ipynb" for name in ("broken", "live", "plain")]
    links = visitor.said("[...document.links].map(link => link.href)")
    assert {fetch(link.partition("#")[0])[0] for link in set(links) if "/render/" not in link} == {200}
    assert {kernel.pid for kernel in server.kernels()} == before
    assert (visitor.foreign, visitor.errors) == ([], [])


def test_reports_are_listed_where_there_are_any(server):
    assert "Reports" not in fetch(server.base)[2]
    (server.home / "reports" / "2023-09-21").mkdir(parents=True)
    (server.home / "reports" / "2023-09-21" / "AAPL & co.html").write_text("<h1>the report</h1>")
    (server.home / "secret.html").write_text("not for visitors")
    home = fetch(server.base)[2]
    assert "AAPL &amp; co" in home
    (path,) = set(re.findall(r'href="/(reports/[^"]+\.html)"', home))
    assert fetch(server.base + path)[2] == "<h1>the report</h1>"
    assert "AAPL &amp; co" in fetch(server.base + "reports/")[2]
    assert fetch(server.base + "reports/..%2Fsecret.html")[0] == 404
    shutil.rmtree(server.home / "reports")
    assert "Reports" not in fetch(server.base)[2]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nothing", 404),
        ("voila/render/nothing.ipynb", 404),
        ("voila/render/..%2Fsecret.ipynb", 404),
        ("voila/render/", 404),
        ("reports/nothing.html", 404),
    ],
)
def test_an_address_with_nothing_behind_it_says_so_in_the_frame(path, status, server, visit):
    visitor = visit()
    answer = visitor.page.goto(server.base + path)
    assert answer.status == status
    assert "quantkit" in visitor.page.title()
    assert visitor.page.locator(".qk-brand").is_visible()
    assert visitor.page.locator(".qk-notice").is_visible()
    assert visitor.foreign == []


def test_notebooks_and_files_beside_them_are_not_handed_out(server):
    for path in ("voila/files/live.ipynb", "voila/files/voila.json", "voila/files/notes.png"):
        assert fetch(server.base + path)[0] == 403


def test_template_and_theme_cannot_be_chosen_in_the_address(server):
    text = fetch(server.address("plain", "template=lab&theme=light"))[2]
    assert "qk-header" in text
    assert "cdn" not in text


def test_the_frame_and_its_skeleton_are_sent_before_the_kernel_is_there(serve, notebooks):
    with serve(notebooks) as running:  # whose pool has only begun to start
        began = time.monotonic()
        with urllib.request.urlopen(running.address("live", "symbol=MSFT"), timeout=60) as answer:
            first = answer.read1(65536).decode()
            waited = time.monotonic() - began
            rest = answer.read().decode()
            whole = time.monotonic() - began
    assert 'data-qk="loading"' in first
    assert 'id="qk-skeleton"' in first
    assert "jupyter-config-data" in rest
    assert waited < whole / 2


# --- screens


def test_a_screen_becomes_ready_with_its_figure_drawn_and_asks_no_other_host(server, visit):
    visitor = visit()
    visitor.open(server.address("live", "symbol=MSFT"))
    assert visitor.said("document.querySelector('.bqplot path.line').getAttribute('d').length") > 40
    assert visitor.said("document.documentElement.dataset.qkSymbol") == "MSFT"
    assert visitor.page.title() == "MSFT · Live"
    assert visitor.said("document.getElementById('qk-pill').textContent") == "SAMPLE · 2023-09-21"
    assert not visitor.page.locator("#qk-skeleton").is_visible()
    tabs = visitor.said("[...document.querySelectorAll('.qk-tabs a')].map(tab => tab.search)")
    assert set(tabs) == {"?symbol=MSFT"}
    assert (visitor.foreign, visitor.errors) == ([], [])


def test_a_page_asks_for_the_states_of_all_widgets_in_one_message(server, visit):
    asked = []
    visitor = visit()
    visitor.page.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda frame: asked.extend(re.findall(rb"request_states?", frame))),
    )
    visitor.open(server.address("live"))
    assert asked == [b"request_states"]


def test_only_the_extensions_that_are_needed_are_sent(server):
    text = fetch(server.address("plain"))[2]
    config = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert {extension["name"] for extension in config["federated_extensions"]} == set(EXTENSIONS)


def test_the_scripts_come_as_one_file_that_the_browser_keeps(server, visit):
    visitor = visit()
    scripts = []
    visitor.page.on("request", lambda asked: scripts.append(asked.url) if asked.resource_type == "script" else None)
    visitor.open(server.address("live"))
    chunks = [url for url in scripts if re.search(r"/voila/(static|labextensions)/", url) and "remoteEntry" not in url]
    assert len(chunks) < 10, f"python -m quantkit.serve.bundle records what is missing: {chunks}"
    (bundle,) = {url for url in scripts if "bundle.js?v=" in url}
    assert "immutable" in fetch(bundle)[1]["Cache-Control"]


def test_every_script_in_the_list_is_installed():
    from voila.paths import collect_static_paths
    from voila.utils import get_voila_labextensions_path

    assert build(collect_static_paths(["voila"], "base"), get_voila_labextensions_path()).missing == ()


def test_the_search_box_asks_the_living_kernel_and_the_address_follows(server, visit):
    visitor = visit()
    visitor.open(server.address("live", "symbol=AAPL"))
    visitor.said("window.stillHere = true")
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("nvda")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector('html[data-qk-symbol="NVDA"]', state="attached")
    assert visitor.said("window.stillHere")
    assert visitor.page.url == server.address("live", "symbol=NVDA")


def test_a_malformed_symbol_is_refused_at_the_box(server, visit):
    visitor = visit()
    visitor.open(server.address("live", "symbol=AAPL"))
    visitor.page.fill("#qk-symbol", "<script>")
    visitor.page.press("#qk-symbol", "Enter")
    assert visitor.page.get_attribute("#qk-symbol", "aria-invalid") == "true"
    assert "such as AAPL" in visitor.said("document.getElementById('qk-symbol').validationMessage")
    assert visitor.said("document.documentElement.dataset.qkSymbol") == "AAPL"


def test_search_on_a_page_without_a_kernel_goes_to_a_screen(server, visit):
    visitor = visit()
    visitor.open(server.base)
    visitor.page.fill("#qk-symbol", "^gspc")
    visitor.page.press("#qk-symbol", "Enter")
    visitor.page.wait_for_url(re.compile(r"/voila/render/.*\?symbol=%5EGSPC"))


def test_the_kernel_is_told_theme_width_and_the_kept_watchlist_at_the_start(server, visit):
    visitor = visit()
    visitor.page.add_init_script(
        "localStorage.setItem('qk-theme', 'light'); localStorage.setItem('qk-watchlist', '[\"MSFT\", \"<b>\", 7]')"
    )
    visitor.open(server.address("live"))
    visitor.page.wait_for_function("document.querySelector('.heard').textContent.includes('\"n\"')")
    heard = json.loads(visitor.said("document.querySelector('.heard').textContent"))
    assert heard["theme"] == "light"
    assert heard["watchlist"] == ["MSFT"]
    assert heard["visible"] is True
    assert 300 < heard["width"] <= 1440


def test_the_theme_switch_reaches_page_and_kernel_and_is_kept(server, visit):
    visitor = visit()
    visitor.open(server.address("live"))
    assert visitor.said("document.documentElement.dataset.theme") == "dark"
    visitor.page.click("#qk-theme")
    visitor.page.wait_for_function("document.querySelector('.heard').textContent.includes('\"light\"')")
    background = visitor.said("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(THEMES["light"].background[at : at + 2], 16) for at in (1, 3, 5))
    assert background == f"rgb({red}, {green}, {blue})"
    visitor.open(server.base)
    assert visitor.said("document.documentElement.dataset.theme") == "light"


def test_what_the_kernel_says_is_text_and_nothing_else(server, visit):
    visitor = visit()
    visitor.open(server.address("live"))
    attack = "<img src=x onerror='window.broken = true'>"
    tell(visitor, tell={"pill": attack, "error": attack, "title": attack, "watchlist": [attack]})
    visitor.page.wait_for_function("document.title.startsWith('<img')")
    assert visitor.said("document.getElementById('qk-pill').textContent") == attack
    assert visitor.page.locator("#qk-banner").inner_text().startswith(attack)
    visitor.page.wait_for_timeout(200)
    assert visitor.said("window.broken") is None


def test_a_file_is_saved_once_for_each_time_it_is_asked_for(server, visit):
    visitor = visit()
    visitor.open(server.address("live"))
    saved = []
    visitor.page.on("download", lambda file: saved.append(file))
    file = {"id": 1, "name": "bars.csv", "mime": "text/csv", "base64": "YSxiCjEsMgo="}
    for again in ("one", "two"):
        tell(visitor, tell={"download": file, "title": again})
        visitor.page.wait_for_function(f"document.title === '{again}'")
    tell(visitor, tell={"download": {**file, "id": 2}, "title": "three"})
    visitor.page.wait_for_function("document.title === 'three'")
    visitor.page.wait_for_timeout(300)
    assert [one.suggested_filename for one in saved] == ["bars.csv", "bars.csv"]
    assert saved[0].path().read_text() == "a,b\n1,2\n"


def test_copy_link_copies_the_address_of_this_view(server, visit):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    visitor.open(server.address("live", "symbol=MSFT"))
    visitor.page.click("#qk-link")
    visitor.page.wait_for_selector("#qk-link[data-said]")
    assert visitor.said("navigator.clipboard.readText()") == server.address("live", "symbol=MSFT")


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_scrolls_sideways(width, server, visit):
    visitor = visit(width=width, height=844)
    for address in (server.base, server.base + "nothing", server.address("live", "symbol=AAPL")):
        visitor.page.goto(address)
        visitor.page.wait_for_selector("html:not([data-qk=loading])", state="attached")
        assert visitor.said("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), address
    assert visitor.page.locator(".qk-tabs a").first.is_visible()


def test_a_screen_whose_notebook_fails_says_so_without_its_details(server, visit):
    visitor = visit()
    visitor.open(server.address("broken"), until="error")
    visitor.page.wait_for_selector("#qk-overlay:not([hidden])")
    assert "could not be started" in visitor.page.locator("#qk-overlay").inner_text()
    assert "secret detail" not in visitor.page.content()
    assert "Traceback" not in visitor.page.content()


def test_a_page_whose_kernel_has_died_says_so_and_reload_brings_it_back(server, visit):
    visitor = visit()
    visitor.open(server.address("live", "symbol=NFLX"))
    tell(visitor, die=True)
    visitor.page.wait_for_selector("#qk-overlay:not([hidden])", timeout=30_000)
    assert "session has ended" in visitor.page.locator("#qk-overlay").inner_text()
    assert visitor.said("document.activeElement.id") == "qk-reload"
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector('html[data-qk="ready"][data-qk-symbol="NFLX"]', state="attached", timeout=60_000)


def test_everything_is_under_the_base_url(serve, notebooks, visit):
    visitor = visit()
    paths = []
    visitor.page.on("request", lambda asked: paths.append(asked.url))
    with serve(notebooks, "--base-url", "/desk/") as running:
        assert running.base.endswith("/desk/")
        visitor.open(running.base)
        visitor.page.click(".qk-card[data-qk-screen=live]")
        visitor.page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=60_000)
    assert [url for url in paths if "/desk/" not in url and not url.startswith(("data:", "blob:"))] == []


# --- who may come in


def test_a_token_keeps_everybody_else_out_and_leaves_the_address(serve, notebooks, visit):
    with serve(notebooks, QUANTKIT_TOKEN="open-sesame") as running:
        for path in ("", "voila/render/live.ipynb", "voila/tree", "reports/", "voila/api/contents"):
            status, _, text = fetch(running.base + path)
            assert status == 403 or "This desk is private" in text, path
        visitor = visit()
        visitor.page.goto(running.address("live", "symbol=MSFT"))
        visitor.page.fill("#qk-token", "guess")
        visitor.page.press("#qk-token", "Enter")
        visitor.page.wait_for_selector(".qk-refused")
        visitor.page.fill("#qk-token", "open-sesame")
        visitor.page.press("#qk-token", "Enter")
        visitor.page.wait_for_selector('html[data-qk="ready"]', state="attached", timeout=60_000)
        assert visitor.foreign == []

        other = visit()
        other.open(running.address("live", "token=open-sesame&symbol=MSFT"))
        assert other.page.url == running.address("live", "symbol=MSFT")
        assert other.said("document.documentElement.dataset.qkSymbol") == "MSFT"


@pytest.fixture
def channels(server, visit):
    """A living page, and how to connect to its kernel beside it."""
    from websockets.sync.client import connect

    visitor = visit()
    visitor.open(server.address("live"))
    kernel_id = json.loads(visitor.said("document.getElementById('jupyter-config-data').textContent"))["kernelId"]
    address = f"{server.base.replace('http', 'ws')}api/kernels/{kernel_id}/channels?session_id=other"
    return visitor, lambda *protocols: connect(
        address, origin=server.base.rstrip("/"), subprotocols=protocols or None, max_size=None, max_queue=None
    )


def test_a_visitor_cannot_have_code_executed(channels):
    visitor, connect = channels
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "other", "username": "", "version": "5.3"}
    content = {"code": "import os; os._exit(1)", "silent": False}
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    with connect(PROTOCOL) as socket:
        time.sleep(0.5)
        socket.send(serialize_msg_to_ws_v1(parts, "shell"))
        time.sleep(2)
    tell(visitor, tell={"title": "still alive"})
    visitor.page.wait_for_function("document.title === 'still alive'")


def test_a_malformed_message_cannot_take_the_servers_memory(channels, server):
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    visitor, connect = channels
    before = psutil.Process(server.process.pid).memory_info().rss
    with pytest.raises(InvalidStatus, match="400"):
        connect()
    with connect(PROTOCOL) as socket:
        socket.send(b"\xff" * 8)
        with pytest.raises(ConnectionClosed):
            all(socket.recv(timeout=10) for _ in range(10_000))
    assert fetch(server.base)[0] == 200
    assert psutil.Process(server.process.pid).memory_info().rss < before + 50e6
    tell(visitor, tell={"title": "still alive"})
    visitor.page.wait_for_function("document.title === 'still alive'")


def test_an_answer_to_a_page_that_has_just_gone_is_dropped_and_not_read(monkeypatch):
    """Found as a server that took 13 GB: a chart's bars arrived between the end of a connection and its clearing up."""
    connection = object.__new__(_Channels)
    connection.ws_connection = None
    # As Jupyter writes what a kernel sends with buffers once it can no longer tell the connection's protocol.
    answer = serialize_binary_message({"header": {"msg_type": "comm_msg"}, "buffers": [b"bars"]})
    assert int.from_bytes(answer[:8], "little") > 10**17
    monkeypatch.setattr(
        kernel_websocket_handler, "read_header_from_binary_message", lambda message: pytest.fail("it was read")
    )
    assert connection.write_message(answer, binary=True) is None
