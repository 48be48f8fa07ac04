// Pictures through a model that translates. Pixels are 8 bits, as those of `i2i export --io image`.
const WHOLE_PIXELS = 2 ** 20; // larger pictures go through in tiles
const BLEND_PX = 64;
let current, stopped = false;

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

/** Run the page's own picture, and compare it with what ONNX Runtime made of it when the page was written. */
async function check(name) {
  const { inputs, check: sides } = models[name], session = await open(name);
  const [shownTo, expected] = await Promise.all([unpack(`check-${name}-in`), unpack(`check-${name}-out`)]);
  const made = await run(session, shownTo, ...sides, inputs);
  return compare(made, expected);
}
