"use strict";
// Draws the curves of a page and turns its samples over. The data stands in the page as JSON; nothing is loaded.
const data = JSON.parse(document.getElementById("data").textContent);
const state = { by: "images", smooth: 1, log: false, hidden: new Set(), cursor: null, mark: null };
const WIDTH = 420, HEIGHT = 210, LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 22;
const several = data.runs.length > 1;
const UNITS = { images: "images", epochs: "epochs", seconds: "minutes" };

function element(name, attributes, parent, text) {
  const made = name === "svg" || parent instanceof SVGElement
    ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function show(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  return size && size < 1e-3 ? value.toExponential(1) : String(+value.toPrecision(3));
}

// Places of a line's points on the chosen x axis; null where they are unknown.
function places(line) {
  const axis = data.axes[line.axis];
  return state.by === "seconds" ? axis.seconds.map((one) => (one === null ? null : one / 60)) : axis[state.by];
}

// A Gaussian mean over a share of the curve, so that runs with points at other distances are smoothed alike.
function smoothed(xs, ys) {
  const sigma = (state.smooth / 100) * (xs[xs.length - 1] - xs[0]);
  if (!sigma) return ys;
  return xs.map((x, place) => {
    let total = 0, weight = 0;
    for (const step of [-1, 1]) {
      for (let i = step < 0 ? place : place + 1; i >= 0 && i < xs.length && Math.abs(xs[i] - x) < 3 * sigma; i += step) {
        if (ys[i] === null || xs[i] === null) continue;
        const share = Math.exp(-0.5 * ((xs[i] - x) / sigma) ** 2);
        total += share * ys[i]; weight += share;
      }
    }
    return weight ? total / weight : null;
  });
}

// Two to seven round values: the next shorter step would give more than seven.
function ticks(low, high) {
  const least = (high - low) / 6, power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= least) || least;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9 && found.length < 20; at += step) found.push(at);
  return found;
}

function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++)
    for (const factor of high - low > 3 ? [1] : [1, 2, 5]) found.push(power + Math.log10(factor));
  return found.filter((at) => at >= low && at <= high);
}

const keyOf = (line) => (several ? data.axes[line.axis].run : line.name);
const colourOf = (line, place) => `var(--c${(several ? data.axes[line.axis].run : place) % 8})`;
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

class Chart {
  constructor(chart, parent) {
    this.chart = chart;
    const names = [...new Set(chart.lines.map((line) => line.name))];
    const box = element("section", { class: "chart", "aria-label": chart.title }, parent);
    element("h3", {}, box, chart.title);
    this.svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, tabindex: 0, role: "img" }, box);
    this.legend = element("div", { class: "legend" }, box);
    this.lines = chart.lines.map((line, place) => {
      const run = data.runs[data.axes[line.axis].run];
      const name = several ? (names.length > 1 ? `${run}, ${line.name}` : run) : line.name;
      const dash = DASHES[(several ? names.indexOf(line.name) : Math.floor(place / 8)) % 4];
      const button = element("button", { type: "button" }, this.legend);
      if (chart.lines.length > 1) {
        element("span", { class: "key", style: `--key: ${colourOf(line, place)}` }, button);
        button.append(`${name} `);
      }
      const value = element("b", {}, button);
      button.addEventListener("click", () => {
        const key = keyOf(line);
        if (!state.hidden.delete(key)) state.hidden.add(key);
        draw();
      });
      return { line, name, dash, colour: colourOf(line, place), button, value };
    });
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.point(((event.clientX - box.left) / box.width) * WIDTH);
    });
    this.svg.addEventListener("pointerleave", () => setCursor(null));
    this.svg.addEventListener("blur", () => setCursor(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") setCursor(null);
      if (!step || !this.scale) return;
      event.preventDefault();
      const [first, last] = this.span, now = state.cursor === null ? (step > 0 ? first : last) : state.cursor;
      setCursor(Math.min(last, Math.max(first, now + (step * (last - first)) / 50)));
    });
  }

  point(px) {
    if (!this.scale) return;
    const [first, last] = this.span;
    setCursor(Math.min(last, Math.max(first, first + ((px - LEFT) / (WIDTH - LEFT - RIGHT)) * (last - first))));
  }

  draw() {
    const shown = [];
    for (const one of this.lines) {
      const hidden = state.hidden.has(keyOf(one.line));
      one.button.setAttribute("aria-pressed", String(!hidden));
      const xs = places(one.line), known = xs.map((x, i) => i).filter((i) => xs[i] !== null && one.line.values[i] !== null);
      one.xs = known.map((i) => xs[i]);
      const level = (value) => (state.log ? (value > 0 ? Math.log10(value) : null) : value);
      one.raw = known.map((i) => level(one.line.values[i]));
      one.ys = smoothed(one.xs, one.raw);
      if (!hidden && one.xs.length) shown.push(one);
    }
    this.svg.replaceChildren();
    const xs = shown.flatMap((one) => one.xs), ys = shown.flatMap((one) => one.ys).filter((y) => y !== null);
    this.scale = ys.length > 0;
    if (!this.scale) return element("text", { x: LEFT, y: HEIGHT / 2 }, this.svg, "nothing to draw");
    // Of the raw curve, single outliers may leave the chart; the smoothed curve is always whole.
    const raw = shown.flatMap((one) => one.raw).filter((y) => y !== null).sort((a, b) => a - b);
    let low = Math.min(raw[Math.floor(raw.length * 0.01)], ys.reduce((a, b) => Math.min(a, b)));
    let high = Math.max(raw[Math.ceil((raw.length - 1) * 0.99)], ys.reduce((a, b) => Math.max(a, b)));
    if (high - low < 1e-12 * Math.max(1, Math.abs(high))) { low -= Math.abs(low) * 0.1; high += Math.abs(high) * 0.1 || 1; }
    const pad = (high - low) * 0.04;
    low -= pad; high += pad;
    const first = xs.reduce((a, b) => Math.min(a, b)), last = Math.max(xs.reduce((a, b) => Math.max(a, b)), first + 1e-9);
    this.span = [first, last];
    this.px = (x) => LEFT + ((x - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
    this.py = (y) => TOP + ((high - y) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    this.axes(low, high);
    for (const one of shown) {
      if (state.smooth) this.path(one, one.raw, "raw");
      this.path(one, one.ys, "curve");
    }
    this.svg.setAttribute("aria-label", `${this.chart.title}: ${shown.map((one) =>
      `${one.name} from ${show(this.back(one.ys[0]))} to ${show(this.back(one.ys[one.ys.length - 1]))}`).join("; ")}`);
    this.overlay = element("g", {}, this.svg);
    this.shown = shown;
    this.read();
  }

  back(y) { return y === null || y === undefined ? null : state.log ? 10 ** y : y; }

  axes(low, high) {
    const [first, last] = this.span;
    for (const at of state.log ? logTicks(low, high) : ticks(low, high)) {
      const y = this.py(at);
      element("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }, this.svg);
      element("text", { x: LEFT - 5, y: y + 4, "text-anchor": "end" }, this.svg, show(this.back(at)));
    }
    for (const at of ticks(first, last)) {
      const x = this.px(at), end = x > WIDTH - 30;
      element("text", { x: Math.min(x, WIDTH - 2), y: HEIGHT - 6, "text-anchor": end ? "end" : "middle" }, this.svg, show(at));
    }
  }

  path(one, ys, kind) {
    let text = "", pen = "M";
    one.xs.forEach((x, i) => {
      if (ys[i] === null) { pen = "M"; return; }
      const y = Math.min(HEIGHT - BOTTOM, Math.max(TOP, this.py(ys[i])));
      text += `${pen}${this.px(x).toFixed(1)},${y.toFixed(1)}`;
      pen = "L";
    });
    const style = `stroke: ${one.colour}`;
    element("path", { class: kind, d: text, style, "stroke-dasharray": kind === "curve" ? one.dash : "" }, this.svg);
    if (kind === "curve" && one.xs.length === 1 && ys[0] !== null)
      element("circle", { cx: this.px(one.xs[0]), cy: this.py(ys[0]), r: 3, style: `fill: ${one.colour}` }, this.svg);
  }

  // What the legend says: values under the cursor, or the last ones.
  read() {
    if (!this.overlay) return;
    this.overlay.replaceChildren();
    const [first, last] = this.span, line = (x, kind) => {
      if (x !== null && x >= first && x <= last)
        element("line", { class: kind, x1: this.px(x), x2: this.px(x), y1: TOP, y2: HEIGHT - BOTTOM }, this.overlay);
    };
    if (state.by === "images") line(state.mark, "mark");
    line(state.cursor, "cursor");
    for (const one of this.shown) {
      let nearest = one.xs.length - 1;
      if (state.cursor !== null)
        one.xs.forEach((x, i) => { if (Math.abs(x - state.cursor) < Math.abs(one.xs[nearest] - state.cursor)) nearest = i; });
      one.value.textContent = show(this.back(one.ys[nearest]));
      if (state.cursor !== null && one.ys[nearest] !== null)
        element("circle", { cx: this.px(one.xs[nearest]), cy: this.py(one.ys[nearest]), r: 3, style: `fill: ${one.colour}` }, this.overlay);
    }
  }
}

const parent = document.getElementById("charts");
const charts = parent ? data.charts.map((chart) => new Chart(chart, parent)) : [];
const draw = () => charts.forEach((chart) => chart.draw());
function setCursor(x) {
  state.cursor = x;
  charts.forEach((chart) => chart.read());
  const said = document.getElementById("cursor");
  if (said) said.textContent = x === null ? "" : `at ${show(x)} ${UNITS[state.by]}`;
}

for (const [id, change] of Object.entries({
  smooth: (input) => { state.smooth = Number(input.value); document.getElementById("smooth-said").textContent = `${input.value}%`; },
  by: (input) => { state.by = input.value; state.cursor = null; },
  log: (input) => { state.log = input.checked; },
})) {
  const input = document.getElementById(id);
  if (!input) continue;
  input.addEventListener("input", () => { change(input); draw(); });
  change(input); // a browser may keep what was chosen before the page was loaded again
}

// Samples: one slider for all runs; each shows its newest sheet at that number of images.
for (const [place, sample] of data.samples.entries()) {
  const box = document.querySelectorAll(".samples")[place], slider = box.querySelector("input");
  const figures = [...box.querySelectorAll("figure")].map((figure, i) => {
    const picture = figure.querySelector("img"), frames = sample.runs[i].frames;
    frames[frames.length - 1].src = picture.src; // stands in the page once
    return { picture, caption: figure.querySelector(".after"), frames };
  });
  const steps = [...new Set(figures.flatMap((one) => one.frames.map((frame) => frame.images)))].sort((a, b) => a - b);
  const turn = () => {
    const images = steps[Number(slider.value)];
    box.querySelector("output").textContent = `${images.toLocaleString("en")} images`;
    for (const one of figures) {
      const frame = one.frames.filter((each) => each.images <= images).pop() || one.frames[0];
      one.picture.src = frame.src;
      one.caption.textContent = `after ${frame.images.toLocaleString("en")} images`;
    }
    state.mark = Number(slider.value) < steps.length - 1 ? images : null;
    charts.forEach((chart) => chart.read());
  };
  slider.max = steps.length - 1;
  slider.value = steps.length - 1;
  slider.addEventListener("input", turn);
  const play = box.querySelector("button");
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === steps.length - 1) { slider.value = 0; turn(); }
    play.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      turn();
      if (Number(slider.value) >= steps.length - 1) stop();
    }, 400);
  });
  if (steps.length < 2) box.querySelector(".controls").hidden = true;
  turn();
}

draw();
document.documentElement.dataset.ready = "1";
