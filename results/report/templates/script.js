"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const REACH = 28; // pixels from the pointer within which a point is meant
  const byNumber = new Map(data.trials.map((trial) => [trial.n, trial]));
  const find = (id) => document.getElementById(id);

  function element(name, attributes = {}, text) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function shape(parent, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  // ---- numbers -------------------------------------------------------------------------------------------------

  function short(value) {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.01 ? 3 : 5;
    return String(Number(value.toFixed(digits)));
  }

  const grouped = (value) => value.toLocaleString("en-US");

  function evenTicks(low, high, wanted) {
    const raw = (high - low) / Math.max(wanted, 1);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
    const found = [];
    for (let tick = Math.ceil(low / step - 1e-9); tick * step <= high + step * 1e-9; tick += 1) found.push(tick * step);
    return found;
  }

  function logTicks(low, high, wanted) {
    for (const steps of [[1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const step of steps) {
          const tick = Number((step * 10 ** power).toPrecision(3));
          if (tick >= low * 0.999 && tick <= high * 1.001) found.push(tick);
        }
      }
      if (found.length <= wanted + 1 || steps.length === 1) return found.length > 1 ? found : [low, high];
    }
    return [low, high];
  }

  /** Maps values to pixels; logarithmic where the values span more than a factor of eight. */
  function scale(values, from, to, { log = false, zero = false, wanted = 6 } = {}) {
    let low = Math.min(...values);
    let high = Math.max(...values);
    if (zero) low = Math.min(0, low);
    const isLog = log && low > 0 && high / low > 8;
    const room = isLog ? (high / low) ** 0.06 : (high - low || Math.abs(high) || 1) * 0.06;
    if (isLog) [low, high] = [low / room, high * room];
    else [low, high] = [zero && low === 0 ? 0 : low - room, high + room];
    if (!zero && !isLog && low < 0 && Math.min(...values) >= 0) low = 0;
    const turn = isLog ? Math.log : (value) => value;
    const place = (value) => from + ((turn(value) - turn(low)) / (turn(high) - turn(low))) * (to - from);
    return { place, ticks: isLog ? logTicks(low, high, wanted) : evenTicks(low, high, wanted) };
  }

  // ---- plots ---------------------------------------------------------------------------------------------------

  function canvas(host, height, label) {
    const width = Math.max(host.clientWidth, 260);
    const svg = document.createElementNS(SVG, "svg");
    for (const [key, value] of Object.entries({ width, height, role: "img", "aria-label": label })) {
      svg.setAttribute(key, value);
    }
    host.querySelector("svg")?.remove();
    host.prepend(svg);
    return { svg, width, height };
  }

  /** Draws the grid with the numbers beside it; `twice` adds a second row of numbers twice as large. */
  function grid(svg, box, x, y, { twice = false, label = short } = {}) {
    for (const tick of y.ticks) {
      const at = y.place(tick);
      shape(svg, "line", { x1: box.left, x2: box.right, y1: at, y2: at, class: "grid" });
      shape(svg, "text", { x: box.left - 6, y: at + 4, class: "tick", "text-anchor": "end" }, short(tick));
    }
    for (const tick of x.ticks) {
      const at = x.place(tick);
      shape(svg, "line", { x1: at, x2: at, y1: box.top, y2: box.bottom, class: "grid" });
      shape(svg, "text", { x: at, y: box.bottom + 16, class: "tick", "text-anchor": "middle" }, label(tick));
      if (twice) {
        const under = { x: at, y: box.bottom + 32, class: "tick second", "text-anchor": "middle" };
        shape(svg, "text", under, short(2 * tick));
      }
    }
    shape(svg, "line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "axis" });
    shape(svg, "line", { x1: box.left, x2: box.left, y1: box.top, y2: box.bottom, class: "axis" });
  }

  function stepPath(points, x, y, end) {
    const parts = points.map(([at, value], index) =>
      index ? `H${x.place(at)}V${y.place(value)}` : `M${x.place(at)},${y.place(value)}`
    );
    return parts.join("") + (end === undefined ? "" : `H${x.place(end)}`);
  }

  function curve(host, points, end, factor, label) {
    const { svg, width, height } = canvas(host, 220, label);
    const box = { left: 48, right: width - 14, top: 10, bottom: height - 26 };
    const shown = points.map(([at, value]) => [at, value * factor]);
    const x = scale([0, end], box.left, box.right, { zero: true, wanted: width < 420 ? 4 : 6 });
    const y = scale(shown.map((each) => each[1]), box.bottom, box.top, { zero: true, wanted: 4 });
    x.ticks = x.ticks.filter(Number.isInteger);
    grid(svg, box, x, y);
    shape(svg, "path", { d: stepPath(shown, x, y, end), class: "curve" });
    for (const [at, value] of shown) shape(svg, "circle", { cx: x.place(at), cy: y.place(value), r: 3, class: "dot" });
  }

  // ---- the scatter of trials -----------------------------------------------------------------------------------

  const scatter = find("scatter");
  const tip = find("tip");
  let places = [];
  let pointed = -1;
  let selected = null;

  function control(id, list) {
    const picker = find(id);
    if (!picker) return () => list[0];
    return () => list[Number(picker.value)];
  }

  const currentX = control("pick-x", data.xs);
  const currentY = control("pick-y", data.ys);

  function visibleTrials(x, y) {
    const lower = find("lower")?.checked;
    const has = (trial) => trial.v[x.id] !== null && trial.v[y.id] !== null;
    return data.trials.filter((trial) => has(trial) && (trial.kind !== "lower" || lower));
  }

  const value = (trial, axis) => trial.v[axis.id] * axis.factor;

  function whisker(trial, axis) {
    const [low, high] = [trial.v[axis.low], trial.v[axis.high]];
    return low === null || low === undefined || high === null || high === undefined
      ? null
      : [low * axis.factor, high * axis.factor];
  }

  function mark(group, trial, at) {
    const chosen = trial.n === selected ? " selected" : "";
    const kind = `${trial.kind}${chosen}`;
    const size = trial.kind === "front" ? 6.5 : trial.kind === "lower" ? 3 : 4.5;
    if (trial.design) {
      const r = size + 1.5;
      shape(group, "path", { d: `M${at.x},${at.y - r}l${r},${r}l${-r},${r}l${-r},${-r}z`, class: `point ${kind}` });
    } else {
      shape(group, "circle", { cx: at.x, cy: at.y, r: size, class: `point ${kind}` });
    }
    if (trial.tied.length) shape(group, "circle", { cx: at.x, cy: at.y, r: size + 5, class: "tied" });
    if (chosen) shape(group, "circle", { cx: at.x, cy: at.y, r: size + 9, class: "halo" });
  }

  /** Writes the ranks beside the members, where they touch neither a mark nor each other; else not at all. */
  function writeRanks(group, members, left) {
    const taken = places.map((at) => ({ x: at.x - 5, y: at.y - 5, w: 10, h: 10, n: at.trial.n }));
    for (const { trial, x, y } of members) {
      const text = trial.tied.length ? `${trial.rank}~` : `${trial.rank}`;
      const [w, h] = [text.length * 7.5, 12];
      const spots = [[9, -8], [-9 - w, -8], [9, 16], [-9 - w, 16], [-w / 2, -14], [-w / 2, 24], [9, 28], [-9 - w, -20]];
      const free = spots.find(([dx, dy]) => {
        const own = { x: x + dx, y: y + dy - h + 2, w, h };
        return own.x > left && !taken.some((each) => each.n !== trial.n && own.x < each.x + each.w && each.x < own.x + w &&
          own.y < each.y + each.h && each.y < own.y + h);
      });
      if (!free) continue;
      taken.push({ x: x + free[0], y: y + free[1] - h + 2, w, h, n: -1 });
      shape(group, "text", { x: x + free[0], y: y + free[1], class: "rank" }, text);
    }
  }

  function drawScatter() {
    if (!scatter) return;
    const [xAxis, yAxis] = [currentX(), currentY()];
    const trials = visibleTrials(xAxis, yAxis);
    const said = `${yAxis.title} against ${xAxis.title}, ${trials.length} trials; arrow keys go from one to the next, Enter opens it`;
    const { svg, width, height } = canvas(scatter, Math.max(300, Math.min(430, scatter.clientWidth * 0.5)), said);
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "application");
    const box = { left: 48, right: width - 26, top: 16, bottom: height - (xAxis.twice ? 42 : 28) };
    find("title-x").textContent = xAxis.title;
    find("title-y").textContent = yAxis.title;
    find("nothing").hidden = trials.length > 0;
    places = [];
    pointed = -1;
    if (!trials.length) return;
    const around = (axis) => trials.flatMap((trial) => [value(trial, axis), ...(whisker(trial, axis) ?? [])]);
    const x = scale(around(xAxis), box.left, box.right, { log: true, wanted: width < 480 ? 5 : 8 });
    const y = scale(around(yAxis), box.bottom, box.top, { wanted: 6 });
    grid(svg, box, x, y, { twice: xAxis.twice });
    drawFront(svg, trials, xAxis, yAxis, x, y);
    const whiskers = shape(svg, "g", {});
    const order = { lower: 0, other: 1, front: 2 };
    const sorted = [...trials].sort((a, b) => order[a.kind] - order[b.kind]);
    places = sorted.map((trial) => ({ trial, x: x.place(value(trial, xAxis)), y: y.place(value(trial, yAxis)) }));
    for (const at of places) {
      const upright = whisker(at.trial, yAxis);
      const level = whisker(at.trial, xAxis);
      const kind = `whisker ${at.trial.kind}`;
      if (upright) shape(whiskers, "path", { d: `M${at.x},${y.place(upright[0])}V${y.place(upright[1])}`, class: kind });
      if (level) shape(whiskers, "path", { d: `M${x.place(level[0])},${at.y}H${x.place(level[1])}`, class: kind });
      mark(svg, at.trial, at);
    }
    writeRanks(svg, places.filter((at) => at.trial.rank), box.left);
    places.sort((a, b) => a.x - b.x || a.y - b.y);
    listen(svg);
  }

  /** Joins the members of the front where both axes are what was searched for, and nothing else was. */
  function drawFront(svg, trials, xAxis, yAxis, x, y) {
    const wanted = [xAxis.id, yAxis.id].sort().join(" ");
    if (wanted !== [...data.objectives].sort().join(" ")) return;
    const members = trials.filter((trial) => trial.kind === "front");
    const points = members.map((trial) => [value(trial, xAxis), value(trial, yAxis)]).sort((a, b) => a[0] - b[0]);
    if (points.length) shape(svg, "path", { d: stepPath(points, x, y), class: "front-line" });
  }

  function nearest(event) {
    const at = scatter.querySelector("svg").getBoundingClientRect();
    const distance = (each) => Math.hypot(each.x - (event.clientX - at.left), each.y - (event.clientY - at.top));
    let best = -1;
    places.forEach((each, index) => {
      if (distance(each) < REACH && (best < 0 || distance(each) < distance(places[best]))) best = index;
    });
    return best;
  }

  function listen(svg) {
    svg.addEventListener("pointermove", (event) => show(nearest(event)));
    svg.addEventListener("pointerleave", () => show(-1));
    svg.addEventListener("blur", () => show(-1));
    svg.addEventListener("click", (event) => open(nearest(event)));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (step) show((pointed + step + places.length) % places.length);
      else if (event.key === "Enter") open(pointed);
      else if (event.key === "Escape") show(-1);
      else return;
      event.preventDefault();
    });
  }

  function open(index) {
    if (index >= 0) location.hash = `trial=${places[index].trial.n}`;
  }

  function show(index) {
    pointed = index;
    const svg = scatter.querySelector("svg");
    svg.querySelector(".pointed")?.remove();
    tip.hidden = index < 0;
    if (index < 0) return;
    const { trial, x, y } = places[index];
    shape(svg, "circle", { cx: x, cy: y, r: 11, class: "pointed" });
    tip.replaceChildren(element("strong", {}, title(trial)), element("span", {}, wordsOf(trial)));
    for (const axis of [currentY(), ...data.xs]) {
      if (trial.v[axis.id] !== null) tip.append(element("span", { class: "figure" }, figure(trial, axis)));
    }
    const width = scatter.clientWidth;
    const wide = Math.min(340, width - 16);
    tip.style.width = `${wide}px`;
    tip.style.left = `${Math.max(4, Math.min(x - wide / 2, width - wide - 4))}px`;
    const below = y + 18;
    const above = y - tip.offsetHeight - 18;
    const under = scatter.clientHeight; // where there is no room beside the point, below the plot
    tip.style.top = `${below + tip.offsetHeight < under + 20 ? below : above > -20 ? above : under}px`;
  }

  // ---- one trial in words --------------------------------------------------------------------------------------

  const wordsOf = (trial) => data.detectors[trial.key]?.w ?? "";

  function title(trial) {
    const place = trial.rank ? `front ${trial.rank}, ` : "";
    return `${place}trial ${trial.n}: ${trial.origin}${trial.kind === "lower" ? `, rung ${trial.rung} only` : ""}`;
  }

  function figure(trial, axis) {
    const span = whisker(trial, axis);
    const twice = axis.twice ? `, ${short(2 * value(trial, axis))} at 2x` : "";
    const interval = span ? ` (${short(span[0])} to ${short(span[1])})` : "";
    return `${axis.name}: ${short(value(trial, axis))}${axis.unit}${interval}${twice}`;
  }

  function detail(trial) {
    const panel = find("detail");
    panel.replaceChildren(element("h3", {}, title(trial)), element("p", {}, wordsOf(trial)));
    const figures = element("ul", { class: "figures" });
    for (const axis of [...data.ys, ...data.xs]) {
      if (trial.v[axis.id] !== null) figures.append(element("li", {}, figure(trial, axis)));
    }
    for (const line of trial.remarks) figures.append(element("li", {}, line));
    figures.append(element("li", {}, `key: ${trial.key}`));
    panel.append(figures);
    const detector = data.detectors[trial.key];
    if (detector?.c.length) panel.append(choices(detector.c));
    if (detector?.t.length) panel.append(...nodes(detector.t));
    else panel.append(element("p", { class: "muted" }, "Its nodes are not in this file."));
  }

  function choices(pairs) {
    const folded = element("details");
    folded.append(element("summary", {}, `Its choices on ${pairs.length} axes`));
    const list = element("ul", { class: "choices" });
    for (const [axis, choice] of pairs) {
      const item = element("li");
      item.append(element("code", {}, axis), ` ${choice}`);
      list.append(item);
    }
    folded.append(list);
    return folded;
  }

  function nodes(rows) {
    const table = element("table", { id: "nodes" });
    const head = table.createTHead().insertRow();
    for (const [name, kind] of [["node"], ["block"], ["output C,H,W"], ["params", "number"], ["MACs", "number"]]) {
      head.append(element("th", { scope: "col", ...(kind ? { class: kind } : {}) }, name));
    }
    const body = table.createTBody();
    let [params, macs] = [0, 0];
    for (const [name, block, output, own, count, shares] of rows) {
      const row = body.insertRow();
      for (const text of [name, data.blocks[block], output]) row.append(element("td", {}, text));
      row.append(element("td", { class: "number" }, shares ? `those of ${shares}` : grouped(own)));
      row.append(element("td", { class: "number" }, grouped(count)));
      params += own;
      macs += count;
    }
    const frame = element("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Nodes" });
    frame.append(table);
    const total = `${rows.length} nodes, ${grouped(params)} parameters, ${grouped(macs)} MACs (${grouped(2 * macs)} at 2x)`;
    return [element("p", { id: "total" }, total), frame];
  }

  function follow() {
    const wanted = /^#trial=(\d+)$/.exec(location.hash);
    if (!wanted) return;
    const trial = byNumber.get(Number(wanted[1]));
    if (!trial) {
      find("detail")?.replaceChildren(element("p", { class: "muted" }, `Trial ${wanted[1]} is not in the plot.`));
      return;
    }
    selected = trial.n;
    if (trial.kind === "lower" && find("lower")) find("lower").checked = true;
    drawScatter();
    detail(trial);
    const member = find("pick-member");
    if (member && data.boxes?.counts[trial.key]) {
      member.value = trial.key;
      drawBoxes();
    }
    find("detail").scrollIntoView({ block: "nearest" });
  }

  // ---- sizes of objects ----------------------------------------------------------------------------------------

  function drawBoxes() {
    const host = find("boxes");
    if (!host) return;
    const { edges, counts, levels } = data.boxes;
    const key = find("pick-member").value;
    const own = counts[key];
    const { svg, width, height } = canvas(host, 240, "How many boxes have which side, against the strides of the levels");
    const box = { left: 52, right: width - 14, top: 26, bottom: height - 26 };
    const turn = (px) => Math.log2(px);
    const [low, high] = [turn(edges[0]), turn(edges[edges.length - 1])];
    const place = (px) => box.left + ((turn(px) - low) / (high - low)) * (box.right - box.left);
    const y = scale([0, ...own], box.bottom, box.top, { zero: true, wanted: 4 });
    const ticks = edges.filter((edge) => Number.isInteger(Math.log2(edge)) && (width > 480 || Math.log2(edge) % 2 === 0));
    grid(svg, box, { place, ticks }, y);
    own.forEach((count, index) => {
      const [from, to] = [place(edges[index]) + 1, place(edges[index + 1]) - 1];
      const top = y.place(count);
      shape(svg, "rect", { x: from, y: top, width: to - from, height: Math.max(box.bottom - top, 0), class: "bar" });
    });
    for (const [name, stride] of levels[key]) {
      const at = place(stride);
      shape(svg, "line", { x1: at, x2: at, y1: box.top - 8, y2: box.bottom, class: "stride" });
      shape(svg, "text", { x: at, y: box.top - 12, class: "rank", "text-anchor": "middle" }, width > 480 ? `${name} (${stride} px)` : name);
    }
    find("boxes-said").textContent = data.boxes.said[key];
  }

  function drawAll() {
    drawScatter();
    for (const { id, points, end, factor, label } of data.curves) {
      const host = find(id);
      if (host) curve(host, points, end, factor, label);
    }
    drawBoxes();
  }

  for (const id of ["pick-x", "pick-y", "lower"]) find(id)?.addEventListener("change", drawScatter);
  find("pick-member")?.addEventListener("change", drawBoxes);
  window.addEventListener("hashchange", follow);
  let seen = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== seen) drawAll();
    seen = window.innerWidth;
  });
  drawAll();
  follow();
})();
