/* What every page does in the browser, and the bridge between a screen's page and its kernel.

Kernel to page: a hidden widget of class `qk-message` holds <span data-qk-message='{json}'>; each new span is read once.
Page to kernel: a hidden text input inside a widget of class `qk-command` is given a JSON text with a running `n`.
Text that came from outside is only ever put into the page with textContent. */
(() => {
  "use strict";
  const root = document.documentElement;
  const byId = id => document.getElementById(id);
  const SYMBOL = /^[A-Z0-9^][A-Z0-9.^=-]{0,14}$/;
  const memory = {
    get(key) { try { return localStorage.getItem(key); } catch (refused) { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch (refused) { /* private window: kept for this page only */ } },
    // Of this tab alone, reloads included: whether something is done for the first time since it was forgotten.
    once(key) {
      try {
        if (sessionStorage.getItem(key) === location.pathname) return false;
        sessionStorage.setItem(key, location.pathname);
        return true;
      } catch (refused) { return false; }
    },
    forget(key) { try { sessionStorage.removeItem(key); } catch (refused) { /* nothing was kept */ } },
  };

  // The token has become a cookie by now: it belongs neither in a copied link nor in what the kernel is told.
  const withoutToken = query => { const rest = new URLSearchParams(query); rest.delete("token"); return rest; };
  function setQuery(query) {
    const text = withoutToken(query).toString().replace(/%2C/g, ",").replace(/%5E/g, "^");
    const search = text ? "?" + text : "";
    if (search !== location.search) history.replaceState(history.state, "", location.pathname + search + location.hash);
  }
  if (new URLSearchParams(location.search).has("token")) setQuery(location.search);

  /* theme */
  const theme = () => (root.dataset.theme === "light" ? "light" : "dark");
  function showTheme(name) {
    root.dataset.theme = name;
    document.body.dataset.jpThemeLight = String(name === "light");
    document.body.dataset.jpThemeName = name === "light" ? "JupyterLab Light" : "JupyterLab Dark";
    document.body.classList.toggle("theme-light", name === "light");
    document.body.classList.toggle("theme-dark", name === "dark");
  }
  showTheme(theme());
  byId("qk-theme")?.addEventListener("click", () => {
    const name = theme() === "dark" ? "light" : "dark";
    memory.set("qk-theme", name);
    showTheme(name);
    state.theme = name;
    send({});
  });
  addEventListener("storage", event => {
    if (event.key !== "qk-theme" || event.newValue === theme()) return;
    showTheme(event.newValue === "light" ? "light" : "dark");
    state.theme = theme();
    send({});
  });

  /* page to kernel */
  // State (theme, width, visible, painted) goes with every command, and what was asked within the last moment is repeated: the
  // widget protocol sends only the newest value of an input when the kernel was busy in between.
  const state = { theme: theme(), visible: !document.hidden };
  const RECENT = 400;
  let recent = [];
  let number = 0;
  const commandInput = () => document.querySelector(".qk-command input, .qk-command textarea");
  function send(asked) {
    const now = performance.now();
    recent = recent.filter(one => now - one.at < RECENT);
    if (Object.keys(asked).length) recent.push({ at: now, asked });
    const input = commandInput();
    if (!input) return false;
    number += 1;
    input.value = JSON.stringify(Object.assign({ n: number }, state, ...recent.map(one => one.asked)));
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  }

  /* search */
  const search = byId("qk-symbol");
  const form = search?.form;
  function refuse(text) {
    search.setAttribute("aria-invalid", text ? "true" : "false");
    search.setCustomValidity(text);
    if (text) search.reportValidity();
  }
  search?.addEventListener("input", () => refuse(""));
  search?.addEventListener("keydown", event => {
    if (event.key === "Escape") { search.value = root.dataset.qkSymbol || ""; refuse(""); search.blur(); }
  });
  form?.addEventListener("submit", event => {
    event.preventDefault();
    const symbol = search.value.trim().toUpperCase();
    if (!symbol) return;
    if (!SYMBOL.test(symbol)) { refuse("A symbol is letters, digits and ^ . = -, at most 15, such as AAPL, BRK-B or ^GSPC."); return; }
    search.value = symbol;
    if (kernelAlive && send({ symbol })) { search.blur(); return; }
    location.assign(form.action + "?symbol=" + encodeURIComponent(symbol));
  });
  addEventListener("keydown", event => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    }
  });
  function showSymbol(symbol) {
    if (typeof symbol !== "string" || !SYMBOL.test(symbol)) return;
    if (search && document.activeElement !== search) search.value = symbol;
    if (root.dataset.qkSymbol === symbol) return;
    root.dataset.qkSymbol = symbol;
    for (const link of document.querySelectorAll("a[data-qk-screen]")) {
      link.search = "?symbol=" + encodeURIComponent(symbol);
    }
  }
  const asked = new URLSearchParams(location.search).get("symbol");
  if (asked && search) search.value = asked.trim().toUpperCase().slice(0, 15);

  /* copy and download */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (refused) {
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "qk-hidden";
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  }
  const link = byId("qk-link");
  link?.addEventListener("click", async () => {
    link.dataset.said = (await copy(location.href)) ? "Link copied" : "Copy the address above";
    setTimeout(() => delete link.dataset.said, 1600);
  });
  function download({ name, mime, base64 }) {
    const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob([bytes], { type: mime || "application/octet-stream" }));
    anchor.download = String(name || "quantkit");
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 60000);
  }

  const pill = byId("qk-pill");
  function showPill(text, status) {
    if (status !== undefined) pill.dataset.status = String(status);
    if (text === undefined) return;
    const narrow = matchMedia("(max-width: 860px)").matches;
    pill.title = String(text);
    pill.dataset.text = String(text);
    pill.textContent = narrow ? String(text).replace(" · ", "\n") : String(text);
  }
  if (pill) matchMedia("(max-width: 860px)").addEventListener("change", () => showPill(pill.dataset.text));

  /* alerts: a click elsewhere or Escape puts the list away */
  const alerts = byId("qk-alerts");
  if (alerts) {
    addEventListener("pointerdown", event => { if (!alerts.contains(event.target)) alerts.open = false; });
    addEventListener("keydown", event => {
      if (event.key !== "Escape" || !alerts.open) return;
      alerts.open = false;
      alerts.querySelector("summary").focus();
    });
  }

  const cells = byId("qk-cells");
  let kernelAlive = false;
  if (!cells) return;

  // Widgets that measure themselves do so on the window's resize: tell them when only their container has changed.
  new ResizeObserver(() => dispatchEvent(new Event("resize"))).observe(cells);

  // bqplot leaves the link behind by which it saved a picture: nameless, and in the keyboard's way.
  new MutationObserver(records => {
    for (const record of records) for (const node of record.addedNodes) {
      if (node.matches?.("a[download][href^='data:']")) setTimeout(() => node.remove(), 1000);
    }
  }).observe(document.body, { childList: true });

  /* kernel to page */
  const banner = byId("qk-banner");
  banner.querySelector("button").addEventListener("click", () => { banner.hidden = true; send({ retry: true }); });
  function showBanner(text) {
    banner.firstElementChild.textContent = text || "";
    banner.hidden = !text;
  }
  let news = 0;
  const done = { download: new Set(), copy: new Set() };
  const once = (kind, what) => what && !done[kind].has(what.id) && done[kind].add(what.id);
  function apply(message) {
    if (message.news && message.news !== news) {
      news = message.news;
      afterPaint(() => { if (state.painted !== news) { state.painted = news; send({}); } });
    }
    if ("symbol" in message) afterPaint(() => showSymbol(message.symbol));
    if ("pill" in message || "status" in message) showPill(message.pill, message.status);
    if (typeof message.title === "string") document.title = message.title;
    if (message.query !== undefined && message.query !== null) setQuery(message.query);
    if (Array.isArray(message.watchlist)) memory.set("qk-watchlist", JSON.stringify(message.watchlist));
    if (once("download", message.download)) download(message.download);
    if (once("copy", message.copy)) copy(String(message.copy.text));
    if (message.state === "ready") { showBanner(""); becomeReady(); }
    if (message.state === "loading") root.dataset.qk = "loading";
    if (message.state === "error") { ready.wanted = false; root.dataset.qk = "error"; }
    if ("error" in message) showBanner(message.error);
  }
  const seen = new WeakSet();
  function read(element) {
    const spans = element.matches?.("[data-qk-message]") ? [element] : element.querySelectorAll?.("[data-qk-message]") || [];
    for (const span of spans) {
      if (seen.has(span)) continue;
      seen.add(span);
      let message = null;
      try { message = JSON.parse(span.dataset.qkMessage); } catch (malformed) { console.warn("quantkit: unreadable message from the kernel"); }
      if (message && typeof message === "object") apply(message);
    }
  }
  // A chart changes thousands of elements when it is drawn: only the message widget itself is watched, once it is there.
  let host = null;
  const inHost = new MutationObserver(records => { for (const record of records) for (const node of record.addedNodes) read(node); });
  const forHost = new MutationObserver(findHost);
  function findHost() {
    const found = cells.querySelector(".qk-message.lm-Widget, .qk-message.widget-html, div.qk-message");
    if (!found) return;
    forHost.disconnect();
    host = found;
    inHost.observe(host, { childList: true, subtree: true });
    read(host);
    greet();
  }
  const watchForHost = () => { forHost.observe(cells, { childList: true, subtree: true }); findHost(); };
  watchForHost();
  setInterval(() => { if (host && !host.isConnected) { host = null; inHost.disconnect(); watchForHost(); } }, 2000);

  /* readiness: the kernel says when the data is there, the page when it is painted */
  const ready = { wanted: false };
  const afterPaint = act => requestAnimationFrame(() => requestAnimationFrame(act));
  const SHAPES = "svg.svg-figure :is(path[d], rect:not(.plotarea_events), circle, polygon, image)";
  const drawn = figure => [...figure.querySelectorAll(SHAPES)].some(
    shape => !shape.closest("defs") && (shape.tagName !== "path" || shape.getAttribute("d").length > 12));
  function painted() {
    const figures = [...cells.querySelectorAll(".bqplot")].filter(figure => figure.getClientRects().length);
    return figures.length ? figures.some(drawn) : cells.querySelector(".jupyter-widgets") && performance.now() - ready.since > 300;
  }
  function becomeReady() {
    if (root.dataset.qk === "ready" || ready.wanted) return;
    ready.wanted = true;
    ready.since = performance.now();
    const look = () => {
      if (!ready.wanted) return;
      if (painted() || performance.now() - ready.since > 8000) {
        afterPaint(() => { if (ready.wanted) { ready.wanted = false; root.dataset.qk = "ready"; performance.mark("qk-ready"); } });
      } else requestAnimationFrame(look);
    };
    look();
  }

  /* what the kernel is told at the start, and when the page's shape or visibility changes */
  const chartArea = () => cells.querySelector("[data-qk-chart], .qk-chart-main, .qk-chart, .bqplot");
  let watched = null;
  const widths = new ResizeObserver(entries => {
    const width = Math.round(entries[entries.length - 1].contentRect.width);
    if (!width || width === state.width) return;
    state.width = width;
    clearTimeout(widths.timer);
    widths.timer = setTimeout(() => send({}), 150);
  });
  function watchWidth() {
    const area = chartArea();
    if (area && area !== watched) { widths.disconnect(); widths.observe(area); watched = area; }
  }
  let greeted = false;
  function greet(tries = 0) {
    if (greeted) return;
    if (!commandInput()) { if (tries < 200) setTimeout(greet, 50, tries + 1); return; }
    greeted = true;
    kernelAlive = true;
    const area = chartArea();
    state.width = Math.round((area || cells).getBoundingClientRect().width) || undefined;
    const first = {};
    try {
      const list = JSON.parse(memory.get("qk-watchlist") || "null");
      if (Array.isArray(list)) first.watchlist = list.filter(name => typeof name === "string" && SYMBOL.test(name)).slice(0, 100);
    } catch (malformed) { /* written by something else: the kernel's own list stands */ }
    send(first);
    setInterval(watchWidth, 1000);
  }
  document.addEventListener("visibilitychange", () => {
    state.visible = !document.hidden;
    send({});
    if (state.visible) check();
  });

  /* the kernel's end */
  const overlay = byId("qk-overlay");
  const config = () => JSON.parse(byId("jupyter-config-data")?.textContent || "{}");
  byId("qk-reload").addEventListener("click", () => location.reload());
  let shown = "";
  function cover(title, text) {
    kernelAlive = false;
    if (shown !== title) {
      shown = title;
      byId("qk-overlay-title").textContent = title;
      byId("qk-overlay-text").textContent = text;
      overlay.hidden = false;
      byId("qk-reload").focus();
    }
    root.dataset.qkKernel = "lost";
  }
  function uncover() {
    if (!shown) return;
    shown = "";
    overlay.hidden = true;
    kernelAlive = greeted;
    delete root.dataset.qkKernel;
  }
  const lost = () => cover("This session has ended", "The part of the server that computed this page has gone. The address keeps what you were looking at: reload to go on from there.");
  let leaving = false;
  addEventListener("beforeunload", () => { leaving = true; });
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
  let checking = false;
  async function check() {
    const { kernelId, baseUrl } = config();
    if (!kernelId || leaving || checking) return;
    checking = true;
    try {
      const answer = await fetch(baseUrl + "api/kernels/" + kernelId, { cache: "no-store" });
      if (answer.ok) uncover();
      else if (answer.status === 404 || answer.status === 403) lost();
    } catch (unreachable) {
      if (!leaving) {
        cover("The server cannot be reached", "This page goes on by itself when it answers again; the address keeps what you were looking at.");
        setTimeout(check, 3000);
      }
    } finally {
      checking = false;
    }
  }
  setInterval(() => { if (!document.hidden && !shown) check(); }, 20000);
  function watchKernel(tries = 0) {
    const kernel = window.jupyterapp?.widgetManager?.kernel;
    if (!kernel) { if (tries < 600) setTimeout(watchKernel, 100, tries + 1); return; }
    const ended = status => ["dead", "terminating", "restarting", "autorestarting"].includes(status);
    kernel.statusChanged.connect((_, status) => { if (ended(status) && !leaving) lost(); });
    kernel.connectionStatusChanged.connect((_, status) => { if (status !== "connected" && !leaving) setTimeout(check, 500); });
    if (ended(kernel.status)) lost();
  }
  const failed = () => cells.querySelector("[data-qk-failed]");
  addEventListener("load", () => {
    if (failed()) { root.dataset.qk = "error"; cover("This screen could not be started", "Its notebook stopped with an error, which the server's log tells. Reload to try again."); return; }
    if (!byId("jupyter-config-data")) { cover("This screen could not be started", "The server stopped before it had sent the whole page. Reload to try again."); return; }
    watchKernel();
    // A page whose widgets were given up would stay blank for ever: one more try, by another kernel, and then it is
    // said. One that has been refused nothing is only slow, and is let come.
    const promised = [...cells.querySelectorAll("script[type='application/vnd.voila.cell-output+json']")].some(
      output => output.textContent.includes("application/vnd.jupyter.widget-view+json"));
    // The boxes of a screen and of its line to the kernel are there before what they hold: such a page is ready when its
    // kernel says so, not before.
    const given = () => !cells.querySelector(".qk-screen, .qk-bridge")
      && [...cells.querySelectorAll(".jupyter-widgets")].some(widget => widget.childElementCount);
    const refused = () => [...cells.querySelectorAll(".jupyter-widgets")].some(
      widget => !widget.childElementCount && widget.textContent.startsWith("Error displaying widget"));
    const asked = performance.now();
    setTimeout(function look() {
      if (host) { memory.forget("qk-again"); return; }
      // A notebook that does not speak to its page is shown as soon as its widgets are.
      if (given() || (!promised && performance.now() - asked > 8000)) { memory.forget("qk-again"); becomeReady(); return; }
      if (!shown && promised && (refused() || performance.now() - asked > 90000)) {
        if (!memory.once("qk-again")) {
          root.dataset.qk = "error";
          cover("This screen did not come up", "The server is busy and answered too late. The address keeps what you wanted to see: reload to try again.");
          return;
        }
        leaving = true;
        location.reload();
        return;
      }
      setTimeout(look, 250);
    }, 1500);
  });
})();
