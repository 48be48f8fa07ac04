// npm install onnxruntime-node && node translate.mjs model.onnx photo.ppm drawing.ppm
import { readFileSync, writeFileSync } from "node:fs";

const [model, source, target, runtime = "onnxruntime-node"] = process.argv.slice(2);
const ort = await import(runtime); // onnxruntime-web has the same functions

const file = readFileSync(source);
const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(file.toString("latin1", 0, 64));
const [width, height] = [Number(header[1]), Number(header[2])];
const pixels = Uint8Array.from(file.subarray(header[0].length)); // red, green, blue of each pixel, row by row

const session = await ort.InferenceSession.create(readFileSync(model));
const image = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
const { output } = await session.run({ image });
writeFileSync(target, Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), output.data]));
