// Latents, the numbers that pictures are made of: draws, walks and children, as i2i.runtime.latents and i2i.breeding.
const LITTER = 9;

/** The parts of a latent, one a block. */
function split(latent, blocks) {
  let end = 0;
  return blocks.map((block) => latent.subarray(end, (end += block.size)));
}

/** A latent of parts. */
const join = (parts) => Float32Array.from(parts.flatMap((part) => [...part]));

const unit = (block, number) => Float32Array.from({ length: block.size }, (_, k) => Number(k === number));

const PRIORS = {
  normal: (random, block) => Float32Array.from({ length: block.size }, () => random.normal()),
  uniform: (random, block) => Float32Array.from({ length: block.size }, () => -1 + 2 * random.double()),
  one_hot: (random, block) => {
    const drawn = random.double();
    return unit(block, block.sums.findIndex((sum) => sum > drawn));
  },
  constant: (random, block) => new Float32Array(block.size).fill(block.value),
  text: (random, block) => Float32Array.from(block.vectors[random.below(block.texts.length)]),
};

/** The latent of a seed (BigInt). given: by the names of blocks, what is chosen in place of a draw: a class, a text, a value. */
function drawLatent(blocks, seed, given = {}) {
  const random = new Random(seed), drawn = {};
  const normal = (block) => Number(block.prior !== "normal"); // drawn first
  for (const block of [...blocks].sort((one, other) => normal(one) - normal(other))) {
    const chosen = given[block.name];
    drawn[block.name] = PRIORS[block.prior](random, block);
    if (chosen === undefined) continue;
    if (block.prior === "one_hot") drawn[block.name] = unit(block, chosen);
    else if (block.prior === "text") drawn[block.name] = Float32Array.from(block.vectors[chosen]);
    else drawn[block.name].fill(chosen);
  }
  return join(blocks.map((block) => drawn[block.name]));
}

/** A fraction `t` of the way from one vector to another: along the great circle, and along a line for the norm. */
function slerp(a, b, t) {
  const length = (vector) => Math.hypot(...vector), norms = [length(a), length(b)];
  if (!Math.min(...norms)) return a.map((value, k) => (1 - t) * value + t * b[k]);
  const u = Array.from(a, (value) => value / norms[0]), v = Array.from(b, (value) => value / norms[1]);
  const angle = 2 * Math.atan2(length(u.map((value, k) => value - v[k])), length(u.map((value, k) => value + v[k])));
  if (Math.PI - angle < 1e-4) throw new Error("These two lie in opposite directions, so no single shortest way joins them.\nTake another seed.");
  const part = (share) => (angle ? Math.sin(share * angle) / Math.sin(angle) : share);
  const scale = (1 - t) * norms[0] + t * norms[1];
  return Float32Array.from(u, (value, k) => scale * (part(1 - t) * value + part(t) * v[k]));
}

/** The latent between two: `slerp` for normal blocks, a line for others. */
function between(blocks, one, other, t) {
  const to = split(other, blocks);
  return join(split(one, blocks).map((from, k) =>
    blocks[k].prior === "normal" ? slerp(from, to[k], t) : from.map((value, at) => (1 - t) * value + t * to[k][at])));
}

/** A - B + C. */
const sum = (a, b, c) => a.map((value, k) => Math.fround(value - b[k]) + c[k]);

/** The mean of latents. */
const mean = (latents) => latents[0].map((_, k) => latents.reduce((total, one) => total + one[k], 0) / latents.length);

/** The next generation: the chosen parents, then their children. mutation: the share that is new, 0 to 1. */
function nextGeneration(parents, blocks, random, mutation) {
  const rows = parents.slice(0, LITTER);
  while (rows.length < LITTER) {
    const [one, other] = parents.length > 1 ? random.pair(parents.length) : [0, 0];
    const fresh = split(drawLatent(blocks, BigInt(random.word())), blocks);
    const [mother, father] = [split(parents[one], blocks), split(parents[other], blocks)];
    rows.push(join(blocks.map((block, k) => child(block, mother[k], father[k], fresh[k], random, mutation))));
  }
  return rows;
}

function child(block, one, other, fresh, random, mutation) {
  const numbers = block.prior === "normal" || block.prior === "uniform";
  const draw = () => Array.from({ length: numbers ? block.size : 1 }, () => random.double());
  const parents = draw(), crossed = one.map((value, k) => (parents[numbers ? k : 0] < 0.5 ? value : other[k]));
  if (block.prior === "normal") {
    return crossed.map((value, k) => Math.sqrt(1 - mutation ** 2) * value + Math.fround(Math.fround(mutation) * fresh[k]));
  }
  const changes = draw();
  return crossed.map((value, k) => (changes[numbers ? k : 0] < mutation ? fresh[k] : value));
}
