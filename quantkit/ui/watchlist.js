// A table of quotes that is a list to choose from: sortable, with a spark line, keyboard and pointer alike.
// Everything that came from outside is put in as text.

const SVG = "http://www.w3.org/2000/svg";

function element(name, className, parent, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function spark(values, kind, parent) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 48 16");
  svg.setAttribute("class", `qk-spark ${kind}`);
  svg.setAttribute("aria-hidden", "true");
  if (values.length > 1) {
    const low = Math.min(...values), high = Math.max(...values);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", values.map((value, at) =>
      `${((at / (values.length - 1)) * 46 + 1).toFixed(1)},${(14 - ((value - low) / (high - low || 1)) * 12).toFixed(1)}`).join(" "));
    svg.append(line);
  }
  parent.append(svg);
}

const HEADS = [["symbol", "Symbol"], ["last", "Last"], ["change", "Chg %"]];

export default {
  render({ model, el }) {
    el.classList.add("qk-watch");
    const table = element("table", "qk-table", el);
    const caption = element("caption", "qk-sr", table, "Watchlist; choose a symbol to show it");
    const head = element("tr", "", element("thead", "", table));
    const body = element("tbody", "", table);
    const form = element("form", "qk-watch-add", el);
    const input = element("input", "", form);
    Object.assign(input, { type: "text", placeholder: "+ add symbol", maxLength: 15, spellcheck: false, autocomplete: "off" });
    input.setAttribute("aria-label", "Add a symbol to the watchlist");
    const fault = element("p", "qk-notice-line fault", el);
    fault.setAttribute("role", "alert");

    const tell = (message) => model.send(message);
    const sort = { by: null, down: false };

    const ordered = () => {
      const rows = [...model.get("rows")];
      if (!sort.by) return rows;
      const key = (row) => (sort.by === "symbol" ? row.symbol : row[sort.by] ?? -Infinity);
      rows.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
      return sort.down ? rows.reverse() : rows;
    };
    const heads = HEADS.map(([name, label], at) => {
      const cell = element("th", "", head);
      cell.scope = "col";
      const button = element("button", "", cell, label);
      button.type = "button";
      button.addEventListener("click", () => {
        if (sort.by !== name) Object.assign(sort, { by: name, down: name !== "symbol" });
        else if (sort.down === (name !== "symbol")) sort.down = !sort.down;
        else sort.by = null;
        draw();
      });
      if (at === 0) element("th", "qk-spark-head", head).append(Object.assign(document.createElement("span"),
        { className: "qk-sr", textContent: "Last month" }));
      return [name, cell];
    });

    function lineOf(row) {
      const line = document.createElement("tr");
      line.dataset.symbol = row.symbol;
      if (row.name) line.title = row.fault ? row.fault : row.name;
      const first = element("th", "", line);
      first.scope = "row";
      element("button", "qk-watch-symbol", first, row.symbol).type = "button";
      spark(row.closes ?? [], row.trend, element("td", "qk-spark-cell", line));
      element("td", "", line, row.lastText);
      const change = element("td", row.kind, line);
      element("span", "", change, row.changeText);
      const remove = element("button", "qk-watch-remove", change, "×");
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove ${row.symbol}`);
      remove.addEventListener("click", (event) => { event.stopPropagation(); tell({ remove: row.symbol }); });
      line.addEventListener("click", () => tell({ choose: row.symbol }));
      return line;
    }
    // Of a list of symbols one moves with most bars: the lines of the others stay as they are.
    const drawn = new Map();
    function draw() {
      for (const [name, cell] of heads)
        cell.setAttribute("aria-sort", sort.by !== name ? "none" : sort.down ? "descending" : "ascending");
      const focused = el.contains(document.activeElement) && document.activeElement.closest("tr")?.dataset.symbol;
      const rows = ordered();
      rows.forEach((row, at) => {
        const said = JSON.stringify(row);
        if (drawn.get(row.symbol)?.said !== said) {
          const line = lineOf(row);
          drawn.get(row.symbol)?.line.replaceWith(line);
          drawn.set(row.symbol, { line, said });
        }
        const { line } = drawn.get(row.symbol);
        if (body.children[at] !== line) body.insertBefore(line, body.children[at] ?? null);
      });
      while (body.children.length > rows.length) {
        drawn.delete(body.lastElementChild.dataset.symbol);
        body.lastElementChild.remove();
      }
      highlight();
      if (focused && !body.contains(document.activeElement)) drawn.get(focused)?.line.querySelector("button").focus();
    }
    const highlight = () => {
      for (const line of body.children) {
        const on = line.dataset.symbol === model.get("symbol");
        line.classList.toggle("on", on);
        const button = line.querySelector(".qk-watch-symbol");
        on ? button.setAttribute("aria-current", "true") : button.removeAttribute("aria-current");
      }
    };
    const say = () => { fault.textContent = model.get("fault"); fault.hidden = !model.get("fault"); };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const symbol = input.value.trim().toUpperCase();
      if (symbol) tell({ add: symbol });
      input.value = "";
    });
    body.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const line = event.target.closest("tr");
      if (!step || !line) return;
      const next = step > 0 ? line.nextElementSibling : line.previousElementSibling;
      next?.querySelector(".qk-watch-symbol")?.focus();
      event.preventDefault();
    });
    model.on("change:rows", draw);
    model.on("change:symbol", highlight);
    model.on("change:fault", say);
    draw();
    say();
    return () => { model.off("change:rows", draw); model.off("change:symbol", highlight); model.off("change:fault", say); };
  },
};
