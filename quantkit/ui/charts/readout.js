// What is under the pointer of a chart of any kind, in words above it. The row is the nearest along the x axis, or the
// nearest of all on the screen; a click or Enter picks it. Nothing is sent while the pointer only moves.

function numbers(view) {
  if (!view || !view.byteLength) return new Float64Array(0);
  return new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

const REACH = 28; // pixels within which a point is meant

export default {
  async render({ model, el }) {
    const stop = new AbortController();
    const listen = (target, type, handler) => target.addEventListener(type, handler, { signal: stop.signal });
    el.classList.add("qk-readout");
    el.setAttribute("role", "status");
    el.setAttribute("aria-live", "off");
    const scaleOf = (name) => {
      const reference = model.get(name);
      const id = typeof reference === "string" ? reference.replace("IPY_MODEL_", "") : reference.model_id;
      return model.widget_manager.get_model(id);
    };
    const [x, y] = await Promise.all([scaleOf("x_scale"), scaleOf("y_scale")]);

    let rows = numbers(model.get("rows"));
    let meta = model.get("meta");
    let plot = null, overlay = null, at = -1, keyed = false;
    const width = () => 2 + (meta.columns?.length ?? 0);
    const count = () => (meta.names?.length ?? 0);
    const cellOf = (row, column) => rows[row * width() + column];

    const formats = new Map();
    const written = (value, { percent, digits = 2, sign }) => {
      if (!Number.isFinite(value)) return "–";
      const key = `${digits}${sign}`;
      if (!formats.has(key))
        formats.set(key, new Intl.NumberFormat("en-US", {
          minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven",
          signDisplay: sign ? "exceptZero" : "auto" }));
      return formats.get(key).format(percent ? value * 100 : value) + (percent ? "%" : "");
    };
    const say = (row) => {
      el.replaceChildren();
      if (row < 0 || row >= count()) return;
      element("span", "qk-readout-time", el).textContent = meta.names[row];
      (meta.columns ?? []).forEach((column, number) => {
        const value = cellOf(row, 2 + number);
        if (!Number.isFinite(value) && column.optional) return;
        const pair = element("span", "qk-readout-pair", el);
        if (column.colour) element("i", "qk-swatch", pair).style.background = column.colour;
        element("span", "qk-readout-label", pair).textContent = column.name;
        element("b", column.signed ? (value > 0 ? "up" : value < 0 ? "down" : "") : "", pair).textContent = written(value, column);
      });
      if (meta.note) element("span", "qk-readout-note", el).textContent = meta.note;
      el.dataset.at = meta.names[row];
    };
    const rest = () => meta.rest ?? count() - 1;

    const area = () => plot?.querySelector(".plotarea_background")?.getBoundingClientRect() ?? null;
    const placeOf = (row, box) => {
      const [low, high, bottom, top] = [x.get("min"), x.get("max"), y.get("min"), y.get("max")];
      return { left: ((cellOf(row, 0) - low) / (high - low)) * box.width, top: ((top - cellOf(row, 1)) / (top - bottom)) * box.height };
    };
    const nearest = (event, box) => {
      let best = -1, gap = Infinity;
      for (let row = 0; row < count(); row++) {
        const place = placeOf(row, box);
        const across = place.left - (event.clientX - box.left);
        const distance = meta.points ? Math.hypot(across, place.top - (event.clientY - box.top)) : Math.abs(across);
        if (distance < gap) [best, gap] = [row, distance];
      }
      return meta.points && gap > REACH ? -1 : best;
    };
    const hide = () => { at = -1; overlay?.classList.remove("on"); say(rest()); };
    const show = (row, box) => {
      if (row < 0) return hide();
      at = row;
      const place = placeOf(row, box), frame = overlay.getBoundingClientRect();
      const left = box.left - frame.left + place.left;
      overlay.classList.toggle("on", place.left >= -1 && place.left <= box.width + 1);
      if (meta.points) overlay.ring.style.transform = `translate(${left - 8}px, ${box.top - frame.top + place.top - 8}px)`;
      else {
        overlay.vertical.style.transform = `translateX(${Math.round(left)}px)`;
        overlay.vertical.style.top = `${box.top - frame.top}px`;
        overlay.vertical.style.height = `${box.height}px`;
        overlay.date.textContent = meta.names[row];
        const half = overlay.date.offsetWidth / 2;
        overlay.date.style.transform =
          `translate(${Math.min(Math.max(left - half, 0), Math.max(frame.width - 2 * half, 0))}px, ${box.bottom - frame.top + 3}px)`;
      }
      say(row);
    };
    const pick = (row) => { if (row >= 0) model.send({ pick: row }); };
    const keys = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const box = area();
      const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20 }[event.key];
      if (!box) return;
      if (step) {
        keyed = true;
        el.setAttribute("aria-live", "polite");
        show(Math.min(Math.max((at < 0 ? rest() : at) + step, 0), count() - 1), box);
      } else if (event.key === "Enter" && meta.points) pick(at);
      else if (event.key === "Escape") hide();
      else return;
      event.preventDefault();
    };
    const named = () => plot?.setAttribute("aria-label", meta.caption ?? "chart");
    const attach = () => {
      plot = el.closest(".qk-chart")?.querySelector(".qk-plot");
      if (!plot?.querySelector(".plotarea_background")) return requestAnimationFrame(() => !stop.signal.aborted && attach());
      overlay = element("div", "qk-cross", plot);
      overlay.vertical = element("i", "qk-cross-x", overlay);
      overlay.ring = element("i", "qk-ring", overlay);
      overlay.date = element("span", "qk-cross-date", overlay);
      overlay.vertical.hidden = overlay.date.hidden = !!meta.points;
      overlay.ring.hidden = !meta.points;
      plot.tabIndex = 0;
      plot.setAttribute("role", "application");
      plot.setAttribute("aria-roledescription", "chart");
      plot.classList.toggle("qk-points", !!meta.points);
      named();
      const over = (event) => {
        const box = area();
        if (!box || !count()) return -1;
        const inside = event.clientX >= box.left - 8 && event.clientX <= box.right + 8 &&
          event.clientY >= box.top - 8 && event.clientY <= box.bottom + 8;
        return inside ? nearest(event, box) : -1;
      };
      listen(plot, "pointermove", (event) => { keyed = false; const row = over(event); if (row !== at) show(row, area()); });
      listen(plot, "pointerleave", hide);
      listen(plot, "click", (event) => pick(over(event)));
      listen(plot, "keydown", keys);
      listen(plot, "blur", () => { if (keyed) hide(); });
      const background = plot.querySelector(".plotarea_background");
      const sized = () => {
        const wide = Math.round(background.getBoundingClientRect().width);
        if (wide > 0 && wide !== model.get("width")) { model.set("width", wide); model.save_changes(); }
      };
      const watch = new MutationObserver(sized);
      watch.observe(background, { attributes: true, attributeFilter: ["width", "height"] });
      stop.signal.addEventListener("abort", () => watch.disconnect());
      sized();
    };
    let queued = false;
    const changed = () => {
      // rows and meta arrive in one message but announce themselves one by one.
      if (queued) return;
      queued = true;
      queueMicrotask(() => {
        queued = false;
        rows = numbers(model.get("rows"));
        meta = model.get("meta");
        named();
        hide();
      });
    };
    model.on("change:rows", changed);
    model.on("change:meta", changed);
    say(rest());
    attach();
    return () => {
      stop.abort();
      overlay?.remove();
      model.off("change:rows", changed);
      model.off("change:meta", changed);
    };
  },
};
