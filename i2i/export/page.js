// Runs in the page that `i2i export --page` writes. Pixels in and out are 8 bits, as those of `i2i export --io image`.
const by = (id) => document.getElementById(id);
const models = JSON.parse(by("models").textContent);
const WHOLE_PIXELS = 2 ** 20; // larger pictures go through in tiles
const BLEND_PX = 64;
let ort, current, shown, stopped = false, busy = false;

/** The bytes of an element that holds base64 of gzip. */
async function unpack(id) {
  const packed = await fetch(`data:application/octet-stream;base64,${by(id).textContent.trim()}`);
  return new Uint8Array(await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** An image as straight RGBA, or an error that names it. */
async function decode(file) {
  try {
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };
    const bitmap = await createImageBitmap(file, options);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
  } catch (error) {
    throw new Error(`${file.name || "The picture"} cannot be read: it is damaged, or no picture that this browser knows.\nUse PNG, JPEG or WebP.`);
  }
}

/** RGBA as the channels of a model: alpha goes onto white, grey is BT.601 luma; as i2i.images.to_channels. */
function toChannels(rgba, channels) {
  const count = rgba.length / 4, values = new Uint8Array(count * channels);
  for (let k = 0; k < count; k++) {
    let [r, g, b, a] = [rgba[4 * k], rgba[4 * k + 1], rgba[4 * k + 2], rgba[4 * k + 3]];
    if (channels !== 4 && a !== 255) {
      [r, g, b] = [r, g, b].map((value) => Math.floor((value * a + 255 * (255 - a) + 127) / 255));
    }
    if (channels === 1) values[k] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
    else values.set(channels === 4 ? [r, g, b, a] : [r, g, b], k * channels);
  }
  return values;
}

/** A model's output as RGBA: with its own alpha, or with the input's, so that on white it is the output. */
function toRGBA(values, channels, input, usesAlpha) {
  const count = values.length / channels, rgba = new Uint8ClampedArray(count * 4);
  for (let k = 0; k < count; k++) {
    const at = k * channels, grey = channels < 3;
    const colour = grey ? [values[at], values[at], values[at]] : [values[at], values[at + 1], values[at + 2]];
    if (channels === 4) rgba.set([...colour, values[at + 3]], 4 * k);
    else {
      const a = usesAlpha ? 255 : input[4 * k + 3];
      const straight = a && a < 255 ? colour.map((value) => (255 * value - 255 * (255 - a)) / a) : colour;
      rgba.set([...straight, a], 4 * k);
    }
  }
  return rgba;
}

async function run(session, values, height, width, channels) {
  const image = new ort.Tensor("uint8", values, [1, height, width, channels]);
  const { output } = await session.run({ image });
  image.dispose();
  return output.data;
}

/** Where tiles of `tile` px begin along a side, and the weight of each of their pixels; as i2i.runtime.tiles. */
export function line(side, tile, multiple, overlap, blend) {
  tile = Math.min(tile, Math.ceil(side / multiple) * multiple);
  const covered = Math.ceil((side - tile) / multiple) * multiple + tile;
  const steps = covered > tile ? Math.ceil((covered - tile) / (tile - overlap)) : 0;
  const origins = [0];
  for (let k = 1; k <= steps; k++) origins.push(Math.floor(((covered - tile) * k) / (steps * multiple)) * multiple);
  const middles = origins.slice(1).map((here, k) => (here + origins[k] + tile) / 2);
  const fade = (pixel, middle) => {
    const x = Math.min(1, Math.max(0, (pixel - middle) / blend + 0.5));
    return x * x * (3 - 2 * x);
  };
  const weights = origins.map((origin, k) => Float32Array.from({ length: tile }, (_, at) => {
    const pixel = origin + at + 0.5;
    return (k ? fade(pixel, middles[k - 1]) : 1) - (k < steps ? fade(pixel, middles[k]) : 0);
  }));
  return { tile, origins, weights };
}

/** Translate a large picture tile by tile. tell: takes the share that is done; throws once `stopped` is set. */
async function inTiles(model, session, values, height, width, tell) {
  const { multiple, seamless, inputs, outputs } = model;
  const tile = Math.max(2 * multiple, Math.floor(model.tile / multiple) * multiple);
  const half = Math.floor(tile / (2 * multiple)) * multiple;
  const overlap = seamless ? Math.min(Math.ceil(256 / multiple) * multiple, half) : half;
  const blend = seamless ? Math.min(BLEND_PX, overlap / 2) : overlap;
  const rows = line(height, tile, multiple, overlap, blend), columns = line(width, tile, multiple, overlap, blend);
  const sum = new Float32Array(height * width * outputs);
  let done = 0;
  for (const [r, top] of rows.origins.entries()) {
    for (const [c, left] of columns.origins.entries()) {
      const high = Math.min(rows.tile, height - top), wide = Math.min(columns.tile, width - left);
      const part = new Uint8Array(high * wide * inputs);
      for (let y = 0; y < high; y++) {
        const from = ((top + y) * width + left) * inputs;
        part.set(values.subarray(from, from + wide * inputs), y * wide * inputs);
      }
      const made = await run(session, part, high, wide, inputs);
      for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) {
        const weight = rows.weights[r][y] * columns.weights[c][x];
        const at = ((top + y) * width + left + x) * outputs, from = (y * wide + x) * outputs;
        for (let k = 0; k < outputs; k++) sum[at + k] += weight * made[from + k];
      }
      tell(++done / (rows.origins.length * columns.origins.length));
      await new Promise((resume) => setTimeout(resume));
      if (stopped) throw new Error("Stopped.");
    }
  }
  return Uint8Array.from(sum, (value) => Math.round(value));
}

/** Translate an ImageData with a model of this page; returns an ImageData. */
export async function translate(input, name = current, tell = () => {}) {
  const model = models[name], { height, width } = input, session = await open(name);
  const values = toChannels(input.data, model.inputs);
  const whole = height * width <= (model.whole ?? WHOLE_PIXELS);
  const made = whole
    ? await run(session, values, height, width, model.inputs)
    : await inTiles(model, session, values, height, width, tell);
  return new ImageData(toRGBA(made, model.outputs, input.data, model.inputs === 4), width, height);
}

const sessions = {};
async function open(name) {
  if (!sessions[name]) {
    const bytes = await unpack(`model-${name}`);
    sessions[name] = ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  }
  return sessions[name];
}

/** Run the page's own picture, and compare it with what ONNX Runtime made of it when the page was written. */
async function prove(name) {
  const { inputs, check } = models[name], session = await open(name);
  const [shownTo, expected] = await Promise.all([unpack(`check-${name}-in`), unpack(`check-${name}-out`)]);
  const made = await run(session, shownTo, ...check, inputs);
  let worst = 0, differing = 0;
  expected.forEach((value, at) => {
    const off = Math.abs(value - made[at]);
    worst = Math.max(worst, off);
    differing += off > 0;
  });
  if (made.length !== expected.length || worst > 1) {
    throw new Error(`This browser computes other pixels than the model: up to ${worst} of 255 levels off.\nTry another browser.`);
  }
  return differing ? `${differing} of ${expected.length} values differ, by one level` : "identical";
}

function say(text) { by("state").textContent = text; }

function complain(error) {
  by("trouble").textContent = error.message || String(error);
  by("trouble").hidden = false;
}

function draw(canvas, image) {
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function show(input, output, name, seconds) {
  shown = { input, output, name };
  draw(by("before"), input);
  draw(by("after"), output);
  const small = Math.max(input.width, input.height) < 400;
  const scale = small ? Math.floor(512 / Math.max(input.width, input.height)) || 1 : 1;
  by("pair").classList.toggle("small", small);
  by("pair").style.setProperty("--wide", `${input.width * scale}px`);
  by("figures").textContent = `${input.width} x ${input.height}, ${seconds.toFixed(2)} s`;
  by("result").hidden = false;
}

async function png(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let k = 0; k < 8; k++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});
const crc32 = (bytes) => ~bytes.reduce((crc, byte) => TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), ~0) >>> 0;

/** A zip of [name, bytes] without compression, which PNG files do not need. */
export function zip(entries) {
  const parts = [], index = [], encoder = new TextEncoder();
  let offset = 0;
  for (const [name, bytes] of entries) {
    const path = encoder.encode(name), head = new DataView(new ArrayBuffer(26)), tail = new DataView(new ArrayBuffer(46));
    // version, flags (names in UTF-8), method, time, date (1980-01-01), CRC, sizes, lengths of name and extra field
    [[0, 20], [2, 0x800], [4, 0], [6, 0], [8, 33]].forEach(([at, value]) => head.setUint16(at, value, true));
    [[10, crc32(bytes)], [14, bytes.length], [18, bytes.length]].forEach(([at, value]) => head.setUint32(at, value, true));
    head.setUint16(22, path.length, true);
    parts.push(Uint8Array.of(80, 75, 3, 4), head, path, bytes);
    tail.setUint32(0, 0x02014b50, true);
    tail.setUint16(4, 20, true);
    new Uint8Array(tail.buffer).set(new Uint8Array(head.buffer), 6);
    tail.setUint32(42, offset, true);
    index.push(tail, path);
    offset += 30 + path.length + bytes.length;
  }
  const size = index.reduce((sum, one) => sum + one.byteLength, 0), end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  [[8, entries.length], [10, entries.length]].forEach(([at, value]) => end.setUint16(at, value, true));
  [[12, size], [16, offset]].forEach(([at, value]) => end.setUint32(at, value, true));
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}

/** Translate files: one is shown; the outputs of several come as a zip, and those that fail are named. */
export async function take(files) {
  if (busy || !ort || !files.length) return;
  [busy, stopped] = [true, false];
  const made = [], failed = [], used = new Set();
  [by("work").hidden, by("trouble").hidden] = [false, true];
  for (const [k, file] of files.entries()) {
    if (stopped) break;
    const tell = (share) => { by("progress").value = (k + share) / files.length; };
    tell(0);
    say(`Translating ${file.name || "the picture"} ...`);
    await new Promise((resume) => setTimeout(resume));
    try {
      const input = await decode(file), began = performance.now();
      const output = await translate(input, current, tell);
      const stem = (file.webkitRelativePath || file.path || file.name || "picture").replace(/\.[^./]*$/, "");
      let name = `${stem}.png`;
      for (let again = 2; used.has(name); again++) name = `${stem}-${again}.png`;
      used.add(name);
      show(input, output, name.split("/").pop(), (performance.now() - began) / 1000);
      if (files.length > 1) made.push([name, new Uint8Array(await (await png(output)).arrayBuffer())]);
    } catch (error) {
      failed.push(error.message || String(error));
    }
  }
  if (made.length) download(zip(made), `${document.title}.zip`);
  if (failed.length) complain(new Error(failed.slice(0, 5).join("\n") + (failed.length > 5 ? `\n... and ${failed.length - 5} more.` : "")));
  by("work").hidden = true;
  const count = files.length - failed.length;
  say(stopped ? "Stopped." : files.length > 1 ? `${count} of ${files.length} pictures are in the zip.` : count ? "Done." : "Nothing was translated.");
  busy = false;
}

/** All files below what was dropped, with their paths. */
async function unfold(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [Object.assign(file, { path: path + file.name })];
  }
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await unfold(one, `${path}${entry.name}/`)));
  }
}

async function dropped(event) {
  event.preventDefault();
  by("ask").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length ? (await Promise.all(entries.map((one) => unfold(one)))).flat() : [...event.dataTransfer.files];
  await take(files.filter((file) => file.type.startsWith("image/") || files.length === 1));
}

function listen() {
  for (const id of ["files", "photo"]) {
    by(id).disabled = false;
    by(id).addEventListener("change", async (event) => {
      await take([...event.target.files]);
      event.target.value = "";
    });
  }
  by("camera").hidden = !matchMedia("(pointer: coarse)").matches;
  addEventListener("dragover", (event) => { event.preventDefault(); by("ask").classList.add("over"); });
  addEventListener("dragleave", () => by("ask").classList.remove("over"));
  addEventListener("drop", (event) => dropped(event).catch(complain));
  addEventListener("paste", (event) => take([...event.clipboardData.files].filter((file) => file.type.startsWith("image/"))));
  by("stop").addEventListener("click", () => { stopped = true; });
  by("slider").addEventListener("input", place);
  by("save").addEventListener("click", async () => download(await png(shown.output), shown.name));
  by("again").addEventListener("click", async () => take([new File([await png(shown.output)], shown.name)]));
  by("way").addEventListener("change", async (event) => {
    const before = current;
    current = event.target.value;
    try {
      say(`Checking ${current} ...`);
      say(`Ready. On this device: ${await prove(current)}.`);
    } catch (error) {
      [current, event.target.value] = [before, before];
      complain(error);
    }
  });
}

function place() { by("pair").style.setProperty("--at", `${by("slider").value}%`); }

async function start() {
  try {
    say("Unpacking the runtime ...");
    const [script, wasm] = await Promise.all([unpack("runtime-script"), unpack("runtime-wasm")]);
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const runtime = await import(address);
    runtime.env.wasm.numThreads = 1; // threads need headers that a file has not
    runtime.env.wasm.wasmBinary = wasm.buffer;
    ort = runtime;
    [current] = Object.keys(models);
    for (const name of Object.keys(models)) by("way").add(new Option(models[name].title, name));
    by("ways").hidden = Object.keys(models).length < 2;
    place();
    say("Checking the model on its own picture ...");
    say(`Ready. On this device, the page's own picture is as ONNX Runtime made it: ${await prove(current)}.`);
    listen();
  } catch (error) {
    say("The model does not run here.");
    complain(error);
  }
}

globalThis.i2i = { started: start(), translate, take, zip, line };
