// A table whose columns sort it. Cells come as text to show and a value to sort by; all of it is put in as text.

function element(name, className, parent, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

export default {
  render({ model, el }) {
    el.classList.add("qk-sortable", "qk-result");
    const table = element("table", "qk-table", el);
    const caption = element("caption", "", table);
    const head = element("tr", "", element("thead", "", table));
    const body = element("tbody", "", table);
    let by = null, down = false;

    const sort = (at) => {
      const first = model.get("columns")[at].down ?? false; // the better end first
      if (by !== at) [by, down] = [at, first];
      else if (down === first) down = !first;
      else by = null;
      draw();
    };
    const ordered = () => {
      const rows = [...model.get("rows")];
      if (by === null) return rows;
      const known = (row) => row.cells[by].sort !== null && row.cells[by].sort !== undefined;
      const side = down ? -1 : 1;
      // What has no figure stays at the end, whichever way the others go.
      return rows.sort((a, b) => known(b) - known(a) ||
        (!known(a) ? 0 : a.cells[by].sort < b.cells[by].sort ? -side : a.cells[by].sort > b.cells[by].sort ? side : 0));
    };
    function draw() {
      const columns = model.get("columns");
      caption.textContent = model.get("caption");
      const focused = [...head.querySelectorAll("button")].indexOf(document.activeElement);
      head.replaceChildren();
      columns.forEach((column, at) => {
        const cell = element("th", column.left ? "qk-left" : "", head);
        cell.scope = "col";
        cell.setAttribute("aria-sort", by !== at ? "none" : down ? "descending" : "ascending");
        const button = element("button", "", cell, column.title);
        button.type = "button";
        if (column.help) button.title = column.help;
        button.addEventListener("click", () => sort(at));
      });
      if (focused >= 0) head.querySelectorAll("button")[focused]?.focus();
      body.replaceChildren();
      for (const row of ordered()) {
        const line = element("tr", row.kind ?? "", body);
        line.dataset.name = row.name;
        row.cells.forEach((value, at) => {
          const cell = element(at ? "td" : "th", [columns[at].left ? "qk-left" : "", value.kind ?? ""].join(" ").trim(), line);
          if (!at) cell.scope = "row";
          cell.append(document.createTextNode(value.text));
          if (value.badge) element("span", "qk-badge", cell, value.badge);
          if (value.title) cell.title = value.title;
        });
      }
    }
    const changed = () => queueMicrotask(draw);
    for (const name of ["rows", "columns", "caption"]) model.on(`change:${name}`, changed);
    draw();
    return () => { for (const name of ["rows", "columns", "caption"]) model.off(`change:${name}`, changed); };
  },
};
