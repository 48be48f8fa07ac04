// Pictures that are chosen, dropped, pasted or photographed, and what becomes of them.
let shown, busy = false;

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
  showBoard(false);
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
      const how = await prove(current);
      await offerExamples();
      say(`Ready. On this device: ${how}.`);
      follow();
    } catch (error) {
      [current, event.target.value] = [before, before];
      complain(error);
    }
  });
}

function place() { by("pair").style.setProperty("--at", `${by("slider").value}%`); }

const fetched = async ({ name, data }) => {
  const blob = await (await fetch(data)).blob();
  return new File([blob], name, { type: blob.type });
};

/** Show a button for each picture that the page holds for this direction, and translate the first. */
async function offerExamples() {
  const { examples } = models[current];
  by("examples").replaceChildren(...examples.map((one) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(Object.assign(new Image(), { src: one.data, alt: `Try ${one.name}` }));
    button.addEventListener("click", async () => take([await fetched(one)]));
    return button;
  }));
  by("examples").hidden = !examples.length;
  if (examples.length) await take([await fetched(examples[0])]);
}

/** Offer the models once they are proved; see `start`. */
async function offerTranslation() {
  [current] = Object.keys(models);
  for (const name of Object.keys(models)) by("way").add(new Option(models[name].title, name));
  by("ways").hidden = Object.keys(models).length < 2;
  place();
  const how = await prove(current);
  listen();
  offerDrawing();
  await offerExamples();
  return how;
}

globalThis.i2i = { started: start(offerTranslation), translate, take, zip, line, seen, threads };
