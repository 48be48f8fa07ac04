// Of every page that `i2i export --page` writes: the runtime, the models in it, and small tools.
const by = (id) => document.getElementById(id);
const models = JSON.parse(by("models").textContent);
const MOST_THREADS = 8; // more gain little
const threads = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1; // a file is not
let ort;

/** The bytes of an element that holds base64 of gzip. */
async function unpack(id) {
  const packed = await fetch(`data:application/octet-stream;base64,${by(id).textContent.trim()}`);
  return new Uint8Array(await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

const sessions = {}, providers = ["wasm"];

/** Start a model, or return the session that runs. */
async function open(name, provider) {
  if (provider) sessions[name] = ort.InferenceSession.create(await unpack(`model-${name}`), { executionProviders: [provider] });
  return sessions[name];
}

/** Start a model with the first of `providers` that makes the right pixels; say how near they come, or why none does. */
async function prove(name) {
  for (const provider of providers) {
    try {
      await open(name, provider);
      return `${await check(name)}${provider === "webgpu" ? ", with WebGPU" : ""}`;
    } catch (error) {
      if (provider === providers.at(-1)) throw error;
    }
  }
}

/** Whether there is a GPU, and no CPU that plays one; only pages of --webgpu can use it. */
async function hasGPU() {
  const adapter = by("runtime-webgpu") && (await navigator.gpu?.requestAdapter().catch(() => null));
  return Boolean(adapter) && !adapter.info?.isFallbackAdapter;
}

/** Say how pixels that were made here differ from those expected; an error if by more than one level. */
function compare(made, expected) {
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

/** Start the runtime, then what the page offers. offer: proves the model, and returns how near its own pixels come. */
async function start(offer) {
  try {
    say("Unpacking the runtime ...");
    const [script, wasm] = await Promise.all([unpack("runtime-script"), unpack(by("runtime-webgpu") ? "runtime-webgpu" : "runtime-wasm")]);
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const runtime = await import(address);
    runtime.env.wasm.numThreads = threads;
    runtime.env.wasm.wasmBinary = wasm.buffer;
    ort = runtime;
    if (await hasGPU()) providers.unshift("webgpu");
    say("Checking the model on its own picture ...");
    const how = threads > 1 ? `Ready, on ${threads} threads` : "Ready";
    say(`${how}. On this device, the page's own picture is as ONNX Runtime made it: ${await offer()}.`);
  } catch (error) {
    say("The model does not run here.");
    complain(error);
  }
}
