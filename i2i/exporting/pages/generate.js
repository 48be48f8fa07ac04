// Pictures from noise: samples, one that is changed by its numbers, walks, arithmetic and breeding.
const SHOWN = 12, STEPS = 6, KNOBS = 8;
const turns = {};
let model, last = Promise.resolve(), changed, offset = 0, walkTo, playing = false, litter;

/** The picture of a latent, as an ImageData. */
async function make(latent) {
  const session = await open("generate"), made = last.then(() => session.run({ latent: fed(latent) }));
  last = made.catch(() => {}); // a session runs one at a time
  const { data } = (await made).output, { side, channels } = model, plane = side * side;
  const rgba = new Uint8ClampedArray(4 * plane).fill(255); // rounds, halves to even
  for (let k = 0; k < plane; k++) for (let c = 0; c < Math.max(3, channels); c++) {
    const value = data[(channels < 3 ? 0 : c) * plane + k];
    rgba[4 * k + c] = Math.fround(Math.fround(Math.min(1, Math.max(-1, value)) + 1) * 127.5);
  }
  return new ImageData(rgba, side, side);
}

/** What the network takes: the latent, or a map with its numbers where they belong. */
function fed(latent) {
  if (!model.places) return new ort.Tensor("float32", latent, [1, latent.length]);
  const [rows, columns] = model.places, count = rows * columns;
  const planes = split(latent, model.blocks).flatMap((part, k) =>
    model.blocks[k].eachPlace ? [...part] : [...part].flatMap((value) => Array(count).fill(value)));
  return new ort.Tensor("float32", Float32Array.from(planes), [1, planes.length / count, rows, columns]);
}

/** Draw the latents of the first seeds, and their pictures; compare both with those of the machine that made the page. */
async function check() {
  const { blocks, channels, checked } = model;
  const [numbers, expected] = await Promise.all([unpack("check-generate-in"), unpack("check-generate-out")]);
  const latents = Array.from({ length: checked }, (_, seed) => drawLatent(blocks, BigInt(seed)));
  const wanted = new Float32Array(numbers.buffer);
  if (!join(latents).every((value, k) => Math.abs(value - wanted[k]) < 1e-6)) {
    throw new Error("This browser draws other numbers for a seed than i2i does.\nTry another browser.");
  }
  const pictures = [];
  for (const latent of latents) pictures.push(await make(latent));
  const made = pictures.flatMap(({ data }) => [...data].filter((_, k) => k % 4 < channels));
  return compare(made, expected);
}

/** What the user gave in place of draws: see drawLatent. */
function given() {
  const fields = [...by("given").querySelectorAll("[data-block]")].filter((field) => field.value !== "");
  return Object.fromEntries(fields.map((field) => [field.dataset.block, Number(field.value)]));
}

/** Seeds in a field, of which there must be one, or any number: BigInt. */
function seedsOf(id, several = false) {
  const words = by(id).value.split(several ? /[\s,]+/ : /\s+/).filter(Boolean);
  if (!words.length || (!several && words.length > 1) || !words.every((word) => /^\d{1,30}$/.test(word))) {
    throw new Error(`“${by(id).value}” is not ${several ? "a list of seeds, as in 3, 8, 12" : "a seed"}. Seeds are whole numbers from 0.`);
  }
  return words.map(BigInt);
}

const latentOf = (seed) => drawLatent(model.blocks, seed, given());

/** A caption: a number, and the classes and the text of a latent. */
function caption(number, latent) {
  const names = split(latent, model.blocks).map((part, k) => {
    const { classes, texts, vectors } = model.blocks[k];
    if (classes.length) return classes[part.indexOf(Math.max(...part))];
    const text = texts[vectors.findIndex((vector) => vector.every((value, at) => Math.fround(value) === part[at]))];
    return text?.length > 28 ? `${text.slice(0, 25)}...` : text;
  });
  return [number, ...names].filter((word) => word !== undefined).join(" ");
}

/** A picture with a caption, to press if `press` is given. */
function cell(words, press) {
  const place = document.createElement(press ? "button" : "figure"), canvas = document.createElement("canvas");
  const under = document.createElement(press ? "span" : "figcaption");
  under.textContent = words;
  place.className = "cell";
  place.append(canvas, under);
  [canvas.width, canvas.height] = [model.side, model.side];
  canvas.setAttribute("aria-hidden", "true");
  if (press) [place.type, place.onclick] = ["button", press];
  return place;
}

/** Fill a sheet: [caption, latent, press] for each place. */
function fill(mode, places) {
  const cells = places.map(([words, , press]) => cell(words, press));
  by(mode).querySelector(".sheet").replaceChildren(...cells);
  return places.map(([, latent], k) => [cells[k].querySelector("canvas"), latent]);
}

/** Draw pictures, [canvas, latent] each, one by one. A later call in the same lane ends an earlier one. */
async function paint(jobs, lane) {
  const mine = (turns[lane] = (turns[lane] ?? 0) + 1);
  for (const [canvas, latent] of jobs) {
    const image = await make(latent);
    if (mine !== turns[lane]) return;
    draw(canvas, image);
    await new Promise((resume) => setTimeout(resume)); // what the user does meanwhile
    if (mine !== turns[lane]) return;
  }
}

/** The one large picture of a mode. */
const large = (mode) => by(mode).querySelector(":scope > figure canvas, .beside canvas");

/** What a mode shows: it sets out the places, and returns what to draw in them. */
const MODES = {
  samples() {
    const [first] = seedsOf("first"), seeds = Array.from({ length: SHOWN }, (_, k) => first + BigInt(k));
    return fill("samples", seeds.map((seed) => {
      const latent = latentOf(seed);
      return [caption(seed, latent), latent, () => { by("one").value = seed; choose("change"); }];
    }));
  },
  change() {
    changed = latentOf(seedsOf("one")[0]);
    setKnobs();
    return [[large("change"), changed]];
  },
  walk() {
    const [one, other] = ["from", "to"].map((id) => latentOf(seedsOf(id)[0]));
    walkTo = (t) => between(model.blocks, one, other, t);
    const shares = Array.from({ length: STEPS }, (_, k) => k / (STEPS - 1));
    const go = (share) => () => { by("way").value = share; step(); };
    const strip = fill("walk", shares.map((share) => [`${100 * share} %`, walkTo(share), go(share)]));
    return [[large("walk"), walkTo(by("way").valueAsNumber)], ...strip];
  },
  arithmetic() {
    const means = ["a", "b", "c"].map((id) => mean(seedsOf(id, true).map(latentOf)));
    const names = ["A", "\u2212 B", "+ C"].map((name, k) => [name, means[k]]);
    return fill("arithmetic", [...names, ["= result", sum(...means)]]);
  },
  breed() {
    const [seed] = seedsOf("ancestors"), first = () => Array.from({ length: LITTER }, (_, k) => latentOf(seed + BigInt(k)));
    litter = litter?.seed === seed ? litter : { seed, number: 0, rows: first() };
    by("next").disabled = true;
    by("generation").textContent = litter.number ? `Generation ${litter.number + 1}` : "Choose those you like best.";
    const jobs = fill("breed", litter.rows.map((latent, k) => [caption(k + 1, latent), latent, keep]));
    for (const one of by("breed").querySelectorAll(".cell")) one.ariaPressed = "false";
    return jobs;
  },
};

/** The picture at the slider's place of a walk. */
const step = () => paint([[large("walk"), walkTo(by("way").valueAsNumber)]], "large").catch(complain);

/** Go to and fro between two seeds, until told to stop. */
async function play() {
  playing = !playing;
  by("play").textContent = playing ? "Stop" : "Play";
  for (let speed = 0.02; playing && !by("walk").hidden; ) {
    const way = by("way"), next = way.valueAsNumber + speed;
    if (next >= 1 || next <= 0) speed = -speed;
    way.value = next;
    await step();
    await new Promise(requestAnimationFrame);
  }
  playing = false;
  by("play").textContent = "Play";
}

function keep({ currentTarget: place }) {
  place.ariaPressed = String(place.ariaPressed !== "true");
  by("next").disabled = !by("breed").querySelector("[aria-pressed=true]");
}

/** Show the children of those that are kept: the same as `i2i breed` makes with this seed. */
function breedOn() {
  const cells = by("breed").querySelectorAll(".cell");
  const parents = litter.rows.filter((_, k) => cells[k].ariaPressed === "true"), number = litter.number + 1;
  const random = new Random(litter.seed, BigInt(number));
  litter = { seed: litter.seed, number, rows: nextGeneration(parents, model.blocks, random, by("mutation").valueAsNumber) };
  return show();
}

/** The numbers that sliders move: [place in the latent, name, bound]. Uniform ones come first, since they may mean something. */
function movable() {
  let end = 0;
  const found = model.blocks.flatMap((block) => {
    const start = end, bound = { normal: 3, uniform: 1 }[block.prior];
    end += block.size;
    if (!bound || block.eachPlace) return [];
    return Array.from({ length: block.size }, (_, k) => [start + k, `${block.name} ${k + 1}`, bound]);
  });
  return found.sort((one, other) => one[2] - other[2]);
}

/** Set out the sliders of some numbers of the latent `changed`. */
function setKnobs() {
  const all = movable();
  const rows = all.slice(offset, offset + KNOBS).map(([at, name, bound]) => {
    const row = document.createElement("label"), range = document.createElement("input"), value = document.createElement("output");
    const tell = () => { value.textContent = changed[at].toFixed(2); };
    Object.assign(range, { type: "range", min: -bound, max: bound, step: 0.01, value: changed[at] });
    range.oninput = () => {
      changed[at] = range.valueAsNumber;
      tell();
      paint([[large("change"), changed.slice()]], "large").catch(complain);
    };
    tell();
    row.append(name, range, value);
    return row;
  });
  by("knobs").replaceChildren(...rows);
  by("others").hidden = all.length <= KNOBS;
}

/** Draw what the chosen mode shows. */
export async function show() {
  by("trouble").hidden = true;
  const mode = document.querySelector("[name=mode]:checked").value;
  for (const one of Object.keys(MODES)) by(one).hidden = one !== mode;
  turns.large = (turns.large ?? 0) + 1;
  try {
    await paint(MODES[mode](), "sheet");
  } catch (error) {
    complain(error);
  }
}

/** Go to a mode. */
export function choose(mode) {
  document.querySelector(`[name=mode][value=${mode}]`).checked = true;
  return show();
}

/** What can be chosen in place of draws: classes, texts, and values between 0 and 1. */
function offerGiven() {
  for (const block of model.blocks) {
    const names = block.classes.length ? block.classes : block.texts, label = document.createElement("label");
    let field;
    if (names.length) {
      field = document.createElement("select");
      field.add(new Option("any", ""));
      names.forEach((name, k) => field.add(new Option(name, k)));
    } else if (block.prior === "constant" && block.size === 1) {
      field = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.05, value: block.value });
    } else continue;
    field.dataset.block = block.name;
    field.onchange = () => { litter = null; show(); };
    label.append(`${block.name[0].toUpperCase()}${block.name.slice(1)} `, field);
    by("given").append(label);
    by("given").hidden = false;
  }
}

/** The large picture of this mode, or its sheet, as PNG. */
async function save() {
  const mode = document.querySelector("[name=mode]:checked").value;
  const canvases = large(mode) ? [large(mode)] : [...by(mode).querySelectorAll("canvas")], { side } = model;
  const columns = Math.min(canvases.length, { breed: 3 }[mode] ?? 4), gap = canvases.length > 1 ? 2 : 0;
  const place = (k) => [(k % columns) * (side + gap), Math.floor(k / columns) * (side + gap)];
  const [right, low] = [columns, Math.ceil(canvases.length / columns)].map((count) => count * (side + gap) - gap);
  const context = new OffscreenCanvas(right, low).getContext("2d");
  canvases.forEach((canvas, k) => context.drawImage(canvas, ...place(k)));
  download(await png(context.getImageData(0, 0, right, low)), `${document.title}-${mode}.png`);
}

/** Offer the model once it is proved; see `start`. */
async function offerNoise() {
  model = models.generate;
  for (const canvas of ["change", "walk"].map(large)) [canvas.width, canvas.height] = [model.side, model.side];
  document.body.classList.toggle("small", model.side < 100);
  document.querySelector("[value=change]").parentElement.hidden = !movable().length;
  const how = await prove("generate");
  offerGiven();
  for (const id of ["settings", "save"]) by(id).disabled = false;
  const turnTo = (move) => () => { by("first").value = move(seedsOf("first")[0]); return show(); };
  const clicks = {
    earlier: turnTo((seed) => (seed > SHOWN ? seed - BigInt(SHOWN) : 0n)),
    later: turnTo((seed) => seed + BigInt(SHOWN)),
    random: () => { by("first").value = Math.floor(Math.random() * 1e6); return show(); },
    others: () => { offset = offset + KNOBS < movable().length ? offset + KNOBS : 0; setKnobs(); },
    back: show, play, next: breedOn, save,
    afresh: () => { litter = null; return show(); },
  };
  for (const [id, act] of Object.entries(clicks)) by(id).onclick = () => Promise.resolve().then(act).catch(complain);
  for (const field of document.querySelectorAll(".seed, .seeds, [name=mode]")) field.onchange = show;
  by("way").oninput = step;
  show();
  return how;
}

globalThis.i2i = { started: start(offerNoise), Random, drawLatent, between, sum, nextGeneration, make, show, choose, models };
