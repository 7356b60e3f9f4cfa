// What a pointer, a finger or a key does on a chart: crosshair and readout, pan, zoom. bqplot can do one of these at a
// time; here they live together, drawn over its figure, and only a changed range travels to the kernel.

const SVG_MARKS = "path.line[d]";

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

const OWN = 9; // position, first time, last time, bars, open, high, low, close, volume; then the chart's extras

export default {
  async render({ model, el }) {
    const stop = new AbortController();
    const listen = (target, type, handler, options = {}) =>
      target.addEventListener(type, handler, { signal: stop.signal, ...options });
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
    let root = null, plot = null, overlay = null, hovered = -1, keyed = false;
    let columns = OWN + (meta.extra ?? []).length;
    const count = () => rows.length / columns;
    // A logarithmic price scale is a linear one over decimal logarithms.
    const level = (value) => (meta.log ? Math.log10(value) : value);
    const priceAt = (value) => (meta.log ? 10 ** value : value);

    // words
    const priced = new Map();
    const price = (value) => {
      const digits = meta.decimals ?? 2;
      if (!priced.has(digits))
        priced.set(digits, new Intl.NumberFormat("en-US", {
          minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven" }));
      return priced.get(digits).format(value);
    };
    const volume = (value) => {
      for (const [size, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]])
        if (value >= size) return (value / size).toFixed(value / size < 10 ? 2 : 1) + unit;
      return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
    };
    const moment = (ms) => {
      const text = new Date(ms).toISOString();
      return meta.intraday ? `${text.slice(0, 10)} ${text.slice(11, 16)}` : text.slice(0, 10);
    };
    const span = (at) => {
      const [from, to] = [moment(rows[at * columns + 1]), moment(rows[at * columns + 2])];
      if (from === to) return from + (meta.zone ? ` ${meta.zone}` : "");
      const short = meta.intraday && from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to;
      return `${from} – ${short}${meta.zone ? ` ${meta.zone}` : ""}`;
    };
    const say = (at) => {
      el.replaceChildren();
      if (at < 0 || at >= count()) return;
      const cell = (label, value, kind = "") => {
        const pair = element("span", "qk-readout-pair", el);
        if (label) element("span", "qk-readout-label", pair).textContent = label;
        const figure = element("b", kind, pair);
        figure.textContent = value;
        return figure;
      };
      const [open, high, low, close, traded] = rows.slice(at * columns + 4, at * columns + 9);
      const before = at > 0 ? rows[(at - 1) * columns + 7] : meta.before ?? NaN;
      element("span", "qk-readout-time", el).textContent = span(at);
      if (Number.isFinite(open)) {
        cell("O", price(open)); cell("H", price(high)); cell("L", price(low));
      }
      cell("C", price(close));
      const change = (close / before - 1) * 100;
      if (Number.isFinite(change))
        cell("", (change > 0 ? "+" : "") + change.toFixed(2) + "%", change > 0 ? "up" : change < 0 ? "down" : "");
      if (Number.isFinite(traded)) cell("V", volume(traded));
      (meta.extra ?? []).forEach(([label, colour, digits], which) => {
        const value = rows[at * columns + OWN + which];
        if (Number.isFinite(value)) cell(label, digits === null ? price(value) : value.toFixed(digits), "").style.color = colour;
      });
      const bars = rows[at * columns + 3];
      if (bars > 1) element("span", "qk-readout-note", el).textContent = `${bars} bars`;
      if (meta.note) element("span", "qk-readout-note", el).textContent = meta.note;
      el.dataset.at = moment(rows[at * columns + 2]);
    };

    // where things are
    const area = () => {
      const rect = plot?.querySelector(".plotarea_background");
      return rect ? rect.getBoundingClientRect() : null;
    };
    const domain = () => [x.get("min"), x.get("max")];
    // Where one looks: a drag is ahead of the scale.
    let aim = null;
    const now = () => aim ?? domain();
    const barAt = (clientX, box) => {
      const [low, high] = now();
      return low + ((clientX - box.left) / box.width) * (high - low);
    };
    const nearest = (bar) => {
      let best = -1;
      for (let at = 0, gap = Infinity; at < count(); at++) {
        const distance = Math.abs(rows[at * columns] - bar);
        if (distance > gap) break;
        [best, gap] = [at, distance];
      }
      return best;
    };
    const lastRow = () => count() - 1;

    // crosshair
    let seenAt = null;
    const hide = () => {
      hovered = -1;
      seenAt = null;
      overlay?.classList.remove("on");
      say(lastRow());
    };
    const cross = (at, box, clientY) => {
      hovered = at;
      if (at < 0) return hide();
      const [low, high] = now();
      const share = (rows[at * columns] - low) / (high - low);
      const frame = overlay.getBoundingClientRect();
      const left = box.left - frame.left + share * box.width;
      overlay.classList.toggle("on", share >= 0 && share <= 1);
      overlay.vertical.style.transform = `translateX(${Math.round(left)}px)`;
      overlay.vertical.style.top = `${box.top - frame.top}px`;
      overlay.vertical.style.height = `${box.height}px`;
      overlay.date.textContent = span(at);
      const half = overlay.date.offsetWidth / 2;
      const place = Math.min(Math.max(left - half, 0), Math.max(frame.width - 2 * half, 0));
      overlay.date.style.transform = `translate(${place}px, ${box.bottom - frame.top + 4}px)`;
      const [bottom, top] = [y.get("min"), y.get("max")];
      const value = top - ((clientY - box.top) / box.height) * (top - bottom);
      const inside = Number.isFinite(value) && clientY >= box.top && clientY <= box.bottom && value >= (meta.floor ?? -Infinity);
      overlay.classList.toggle("level", inside);
      if (inside) {
        overlay.horizontal.style.transform = `translateY(${Math.round(clientY - frame.top)}px)`;
        overlay.horizontal.style.width = `${box.width}px`;
        overlay.horizontal.style.left = `${box.left - frame.left}px`;
        overlay.level.textContent = price(priceAt(value));
        overlay.level.style.transform = `translate(${box.right - frame.left + 4}px, ${Math.round(clientY - frame.top) - 9}px)`;
      }
      say(at);
    };

    // A drag shifts what is drawn, which costs a hundredth of drawing it anew; the scale follows when the pointer rests,
    // or when what is drawn beyond the edges runs out. Each mark gives up its shift in the moment it is drawn anew.
    const REST = 120, LONGEST = 400, SPARE = 0.22;
    const DRAWN = { subtree: true, childList: true, attributes: true, attributeFilter: ["transform", "d", "x", "width"] };
    const carried = new Map(); // group: pixels that the scale has moved since it was drawn
    const widened = new Map(); // figure: how its edges are put back
    let pixels = 0, resting = 0;
    const widen = (svg) => {
      const clip = svg.querySelector("clipPath rect"), seen = svg.querySelector(".plotarea_events");
      if (!clip || !seen) return;
      const [outer, inner] = [svg.getBoundingClientRect(), seen.getBoundingClientRect()];
      const width = clip.getAttribute("width");
      svg.style.clipPath = `inset(0 ${outer.right - inner.right}px 0 ${inner.left - outer.left}px)`;
      clip.setAttribute("x", -width);
      clip.setAttribute("width", 3 * width);
      widened.set(svg, () => {
        svg.style.clipPath = "";
        clip.setAttribute("x", 0);
        clip.setAttribute("width", width);
      });
    };
    const carry = (group) => {
      const redrawn = new MutationObserver(() => drop(group));
      redrawn.observe(group, DRAWN);
      carried.set(group, { behind: 0, redrawn });
    };
    const drop = (group) => {
      carried.get(group)?.redrawn.disconnect();
      carried.delete(group);
      group.style.transform = "";
    };
    const shift = (by) => {
      pixels = by;
      for (const svg of root.querySelectorAll(":is(.qk-plot, .qk-pane) svg.svg-figure")) {
        if (!widened.has(svg)) widen(svg);
        for (const group of svg.querySelectorAll("g[clip-path]"))
          if (group.childElementCount && !carried.has(group)) carry(group);
      }
      const axis = plot.querySelector("svg.svg-background .axis")?.parentElement;
      if (axis && !carried.has(axis)) carry(axis);
      for (const [group, { behind }] of carried) group.style.transform = `translateX(${behind + pixels}px)`;
    };
    const settle = () => {
      if (aim) return;
      for (const group of [...carried.keys()]) drop(group);
      for (const putBack of widened.values()) putBack();
      widened.clear();
    };
    const commit = () => {
      clearTimeout(resting);
      if (!aim) return;
      const [min, max] = aim;
      aim = null;
      for (const group of carried.values()) group.behind += pixels;
      pixels = 0;
      if (min !== x.get("min") || max !== x.get("max")) {
        x.set({ min, max });
        x.save_changes();
      }
      if (widened.size) setTimeout(settle, LONGEST); // what is not drawn anew by then has no place on the scale
    };
    const rest = () => {
      const seen = aim;
      // On a busy machine moves wait in line behind the clock; those of this frame come before it.
      requestAnimationFrame(() => { if (aim === seen) commit(); });
    };

    // pan and zoom: the picture moves here at once, the kernel refines what is drawn
    let framed = 0;
    const show = (low, high) => {
      const [least, most] = meta.limits ?? [low, high];
      const whole = most - least;
      let width = Math.min(Math.max(high - low, Math.min(meta.least ?? 10, whole)), whole);
      const middle = (low + high) / 2;
      let from = high - low === width ? low : middle - width / 2;
      from = Math.max(Math.min(from, most - width, meta.newest ?? most), least);
      aim = [from, from + width];
      if (!framed)
        framed = requestAnimationFrame(() => {
          framed = 0;
          if (!aim) return;
          const [min, max] = aim, [left, right] = domain(), span = right - left;
          clearTimeout(resting);
          const sameWidth = Math.abs(max - min - span) < 1e-9 * span;
          if (!sameWidth || Math.abs(min - left) > SPARE * span || !area()) return commit();
          shift(((left - min) / span) * area().width);
          resting = setTimeout(rest, REST);
        });
    };
    const zoom = (factor, bar) => {
      const [low, high] = now();
      const [least, most] = meta.limits ?? [low, high];
      const width = (high - low) * factor;
      if (factor < 1 && high - low <= (meta.least ?? 10)) return;
      const bounded = Math.min(Math.max(width, meta.least ?? 10), most - least);
      const kept = bounded / (high - low);
      show(bar - (bar - low) * kept, bar - (bar - low) * kept + bounded);
    };
    const pan = (bars) => { const [low, high] = now(); show(low + bars, high + bars); };
    const whole = () => { if (meta.limits) show(...meta.limits); };

    const fingers = new Map();
    let grip = null;
    const regrip = () => {
      const at = [...fingers.values()];
      grip = at.length ? { domain: now(), x: at.map((f) => f.x), y: at[0].y } : null;
    };
    const move = (event) => {
      const box = area();
      if (!box) return;
      keyed = false;
      if (fingers.has(event.pointerId)) fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (grip && fingers.size) {
        const [low, high] = grip.domain;
        const at = [...fingers.values()].map((f) => f.x);
        const scale = (high - low) / box.width;
        if (at.length > 1 && grip.x.length > 1) {
          const factor = Math.abs(grip.x[0] - grip.x[1]) / Math.max(Math.abs(at[0] - at[1]), 8);
          const middle = (grip.x[0] + grip.x[1]) / 2;
          const bar = low + (middle - box.left) * scale;
          const width = (high - low) * factor;
          const from = bar - (((at[0] + at[1]) / 2 - box.left) / box.width) * width;
          show(from, from + width);
        } else if (Math.abs(at[0] - grip.x[0]) > 3 || grip.moved) {
          grip.moved = true;
          show(low - (at[0] - grip.x[0]) * scale, high - (at[0] - grip.x[0]) * scale);
        }
      }
      const inside = event.clientX >= box.left && event.clientX <= box.right &&
        event.clientY >= box.top && event.clientY <= box.bottom + 24;
      if (inside) {
        seenAt = { x: event.clientX, y: event.clientY };
        cross(nearest(barAt(event.clientX, box)), box, event.clientY);
      } else if (!grip) hide();
    };
    const keys = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const box = area();
      if (!box) return;
      const [low, high] = now();
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && event.shiftKey) pan((step * (high - low)) / 8);
      else if (step) {
        keyed = true;
        const from = hovered < 0 ? nearest(high) : hovered;
        const to = Math.min(Math.max(from + step, 0), lastRow());
        const bar = rows[to * columns];
        if (bar < low || bar > high) pan((step * (high - low)) / 4);
        el.setAttribute("aria-live", "polite");
        cross(to, box, NaN);
      } else if (event.key === "+" || event.key === "=") zoom(0.8, high);
      else if (event.key === "-") zoom(1.25, high);
      else if (event.key === "Home") show(meta.limits[0], meta.limits[0] + high - low);
      else if (event.key === "End") show(meta.limits[1] - high + low, meta.limits[1]);
      else if (event.key === "0") whole();
      else if (event.key === "Escape") hide();
      else return;
      event.preventDefault();
    };

    // life
    const tokens = () => {
      for (const [name, value] of Object.entries(model.get("tokens") ?? {})) root?.style.setProperty(`--qk-${name}`, value);
    };
    const attach = () => {
      root = el.closest(".qk-chart");
      plot = root?.querySelector(".qk-plot");
      if (!plot || !plot.querySelector(".plotarea_background")) return false;
      overlay = element("div", "qk-cross", plot);
      overlay.vertical = element("i", "qk-cross-x", overlay);
      overlay.horizontal = element("i", "qk-cross-y", overlay);
      overlay.date = element("span", "qk-cross-date", overlay);
      overlay.level = element("span", "qk-cross-level", overlay);
      overlay.tag = element("b", "qk-tag", overlay);
      tokens();
      tag();
      plot.tabIndex = 0;
      plot.setAttribute("role", "application");
      plot.setAttribute("aria-roledescription", "chart");
      named();
      listen(plot, "pointermove", move);
      listen(plot, "pointerdown", (event) => {
        if (event.button) return;
        fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
        regrip();
        plot.classList.add("grabbing");
        if (event.pointerType === "mouse") plot.setPointerCapture(event.pointerId);
        move(event);
      });
      for (const type of ["pointerup", "pointercancel"])
        listen(plot, type, (event) => {
          fingers.delete(event.pointerId);
          regrip();
          commit();
          plot.classList.toggle("grabbing", fingers.size > 0);
        });
      listen(plot, "pointerleave", (event) => { if (!fingers.size && event.pointerType === "mouse") hide(); });
      listen(plot, "dblclick", whole);
      listen(plot, "keydown", keys);
      listen(plot, "blur", () => { if (keyed) hide(); });
      listen(plot, "wheel", (event) => {
        const box = area();
        // In a long notebook the wheel belongs to the page until the chart is clicked.
        if (!box || (!document.documentElement.hasAttribute("data-qk") && !plot.contains(document.activeElement))) return;
        event.preventDefault();
        const unit = event.deltaMode === 1 ? 16 : 1;
        const [low, high] = now();
        if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX * unit * (high - low)) / box.width);
        else zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY * unit)) * 0.0018), barAt(event.clientX, box));
      }, { passive: false });
      // bqplot lays itself out a moment after its place has changed: its own rectangle says when.
      const sized = () => {
        placed();
        tag();
        const width = Math.round(area()?.width ?? 0);
        if (width > 0 && width !== model.get("width")) { model.set("width", width); model.save_changes(); }
      };
      const watch = new MutationObserver(sized);
      watch.observe(plot.querySelector(".plotarea_background"), { attributes: true, attributeFilter: ["width", "height"] });
      stop.signal.addEventListener("abort", () => watch.disconnect());
      sized();
      return true;
    };
    const named = () => { if (plot) plot.setAttribute("aria-label", meta.caption ?? "price chart"); };

    // Says back which drawing has reached the screen: data that was sent is not yet a figure that is seen.
    let told = -1;
    const painted = () => {
      const generation = meta.generation ?? 0;
      if (!overlay && !attach()) return requestAnimationFrame(() => !stop.signal.aborted && painted());
      if (generation === told || !count()) return;
      if (!plot.querySelector(SVG_MARKS)) return requestAnimationFrame(() => !stop.signal.aborted && painted());
      told = generation;
      model.set("painted", generation);
      model.save_changes();
    };
    // Several messages move it for every bar; the browser is asked once a frame where things are.
    let tagging = 0;
    const tag = () => {
      tagging ||= requestAnimationFrame(() => { tagging = 0; if (!stop.signal.aborted) drawTag(); });
    };
    // Where the plot lies in its overlay, which only its size changes: asking on every bar would lay the page out for it.
    let place = null;
    const placed = () => {
      const box = overlay && area();
      if (!box?.width) return;
      const frame = overlay.getBoundingClientRect();
      place = { right: box.right - frame.left, top: box.top - frame.top, height: box.height };
    };
    const drawTag = () => {
      const last = meta.last;
      const [bottom, top] = [y.get("min"), y.get("max")];
      if (!place) placed();
      if (!place || !last) return;
      const share = (top - level(last.price)) / (top - bottom);
      overlay.tag.hidden = !(share >= 0 && share <= 1);
      overlay.tag.textContent = price(last.price);
      overlay.tag.className = `qk-tag ${last.kind}`;
      overlay.tag.style.transform =
        `translate(${place.right + 4}px, ${Math.round(place.top + share * place.height) - 9}px)`;
    };
    const fresh = () => {
      rows = numbers(model.get("rows"));
      meta = model.get("meta");
      columns = OWN + (meta.extra ?? []).length;
      named();
      const box = seenAt && area();
      if (box) cross(nearest(barAt(seenAt.x, box)), box, seenAt.y);
      else if (hovered < 0 || hovered >= count()) say(lastRow());
      tag();
      requestAnimationFrame(painted);
    };
    // Marks do not follow the scales while the kernel sends what changes: each would be drawn two or three times.
    const known = new Map(), held = new Set();
    const hold = () => {
      const ids = model.get("held");
      for (const id of ids) {
        const mark = known.get(id);
        if (!mark) model.widget_manager.get_model(id).then((found) => known.set(id, found));
        else if (!mark.dirty) { mark.dirty = true; held.add(mark); }
      }
      if (ids.length) return;
      for (const mark of held) {
        if (!mark.dirty) continue; // its data came
        mark.dirty = false;
        mark.trigger("data_updated");
      }
      held.clear();
    };
    model.on("change:held", hold);

    let queued = false;
    const changed = () => {
      // rows and meta arrive in one message but announce themselves one by one.
      if (queued) return;
      queued = true;
      queueMicrotask(() => { queued = false; fresh(); });
    };
    model.on("change:rows", changed);
    model.on("change:meta", changed);
    model.on("change:tokens", tokens);
    y.on("change:min change:max", tag);
    fresh();

    return () => {
      stop.abort();
      overlay?.remove();
      clearTimeout(resting);
      model.off("change:held", hold);
      model.off("change:rows", changed);
      model.off("change:meta", changed);
      model.off("change:tokens", tokens);
      y.off("change:min change:max", tag);
    };
  },
};
