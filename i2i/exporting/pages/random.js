// The random numbers of numpy.random.default_rng, so that a seed makes here what it makes in `i2i generate`.
// PCG64 (O'Neill 2014) is exact. So are normal numbers (ziggurat, Marsaglia and Tsang 2000) but for the last bit of
// some beyond 3.65, which depends on the logarithm of the machine in numpy, too.
const WORD = (1n << 32n) - 1n, LONG = (1n << 64n) - 1n, WIDE = (1n << 128n) - 1n;
const TAIL = 3.6541528853610088, AREA = 0.004928673233974658; // where the tail begins; of each layer
const WIDTHS = new Float32Array(256), INSIDE = new Uint32Array(256), HEIGHTS = new Float32Array(256);
{
  const height = (x) => Math.exp(-0.5 * x * x), steps = 2 ** 23;
  let inner = TAIL, outer = AREA / height(TAIL); // of the lowest layer, which is layer 0 and holds the tail
  [WIDTHS[0], INSIDE[0], HEIGHTS[0]] = [outer / steps, Math.round((inner / outer) * steps), 1];
  for (let k = 255; k > 0; k--) {
    outer = inner;
    inner = k > 1 ? Math.sqrt(-2 * Math.log(AREA / outer + height(outer))) : 0;
    [WIDTHS[k], INSIDE[k], HEIGHTS[k]] = [outer / steps, Math.round((inner / outer) * steps), height(outer)];
  }
}

/** Eight words of 32 bits that numpy's SeedSequence makes of whole numbers (BigInt) from 0. */
function seedWords(numbers) {
  const entropy = [], pool = [0, 0, 0, 0];
  for (const number of numbers) {
    let rest = number;
    do entropy.push(Number(rest & WORD)); while ((rest >>= 32n));
  }
  const hasher = (factor, by) => (value) => {
    value ^= factor;
    factor = Math.imul(factor, by);
    value = Math.imul(value, factor);
    return value ^ (value >>> 16);
  };
  const mix = (one, other) => {
    const mixed = (Math.imul(0xca01f9dd, one) - Math.imul(0x4973f715, other)) | 0;
    return mixed ^ (mixed >>> 16);
  };
  const hash = hasher(0x43b0d7e5, 0x931e8875), out = hasher(0x8b51f9dd, 0x58f38ded);
  pool.forEach((_, k) => { pool[k] = hash(entropy[k] ?? 0); });
  pool.forEach((_, from) => pool.forEach((_, to) => { if (from !== to) pool[to] = mix(pool[to], hash(pool[from])); }));
  entropy.slice(4).forEach((word) => pool.forEach((_, to) => { pool[to] = mix(pool[to], hash(word)); }));
  return Array.from({ length: 8 }, (_, k) => BigInt(out(pool[k % 4]) >>> 0));
}

class Random {
  #state; #step; #kept = null;

  /** As default_rng([...]) of whole numbers, BigInt, from 0; of one, as default_rng(number). */
  constructor(...seeds) {
    const words = seedWords(seeds);
    const [high, low, highStep, lowStep] = [0, 2, 4, 6].map((k) => words[k] | (words[k + 1] << 32n));
    this.#step = (((highStep << 64n) | lowStep) << 1n | 1n) & WIDE;
    this.#state = (this.#step + ((high << 64n) | low)) & WIDE;
    this.#advance();
  }

  #advance() { this.#state = (this.#state * 0x2360ed051fc65da44385df649fccf645n + this.#step) & WIDE; }

  #long() {
    this.#advance();
    const turn = this.#state >> 122n, mixed = (this.#state >> 64n ^ this.#state) & LONG;
    return (mixed >> turn | mixed << (64n - turn)) & LONG;
  }

  /** A whole number of 32 bits; two are made of one of 64, the lower half first. */
  word() {
    if (this.#kept !== null) {
      const kept = this.#kept;
      this.#kept = null;
      return kept;
    }
    const long = this.#long();
    this.#kept = Number(long >> 32n);
    return Number(long & WORD);
  }

  /** From 0 to 1, as `random()`. */
  double() { return Number(this.#long() >> 11n) / 2 ** 53; }

  /** A whole number from 0 to less than `end`, as `integers(end)` (Lemire 2019). */
  below(end) {
    if (end === 1) return 0;
    for (const least = (2 ** 32 - end) % end; ;) {
      const product = BigInt(this.word()) * BigInt(end);
      if (Number(product & WORD) >= least) return Number(product >> 32n);
    }
  }

  /** As `standard_normal(dtype=float32)`. */
  normal() {
    const single = () => (this.word() >>> 8) / 2 ** 24, log = (x) => Math.fround(Math.log1p(-x));
    for (;;) {
      const bits = this.word(), layer = bits & 255, size = bits >>> 9;
      const x = Math.fround(bits & 256 ? -size * WIDTHS[layer] : size * WIDTHS[layer]);
      if (size < INSIDE[layer]) return x;
      if (layer) {
        const high = Math.fround((HEIGHTS[layer - 1] - HEIGHTS[layer]));
        if (Math.fround(Math.fround(high * single()) + HEIGHTS[layer]) < Math.exp(-0.5 * x * x)) return x;
        continue;
      }
      for (;;) {
        const past = Math.fround(-Math.fround(1 / TAIL) * log(single())), other = Math.fround(-log(single()));
        if (Math.fround(other + other) <= Math.fround(past * past)) continue;
        return Math.fround((size >>> 8) & 1 ? -(Math.fround(TAIL) + past) : Math.fround(TAIL) + past);
      }
    }
  }

  /** Two different numbers below `end`, as `choice(end, 2, replace=False)` (Floyd, then a shuffle). */
  pair(end) {
    const first = this.below(end - 1), drawn = this.below(end), second = drawn === first ? end - 1 : drawn;
    return this.below(2) ? [first, second] : [second, first];
  }
}
