// Planes: grey values of channels and of heat maps, fetched, and drawn in colour.

import { ask, patiently } from "./requests.js";

export const COLOURS = { red: [255, 40, 40], green: [40, 255, 60], blue: [70, 110, 255], yellow: [255, 210, 0] };
const WHITE = [255, 255, 255];
const HEAT = [
  [0, 0, 4],
  [60, 9, 101],
  [135, 33, 107],
  [203, 65, 73],
  [245, 125, 21],
  [252, 195, 50],
  [252, 255, 164],
];
const CLEAR = 2.5; // a heat map is wholly opaque from this part of its brightest value on: 1 / CLEAR
const DIM = 0.7; // brightness of a grey picture below a heat map

/** Colour of a share from 0 to 1: dark violet, red, yellow. */
export function heatColour(share) {
  const at = Math.min(Math.max(share, 0), 1) * (HEAT.length - 1);
  const low = Math.min(Math.floor(at), HEAT.length - 2);
  return HEAT[low].map((part, j) => Math.round(part + (at - low) * (HEAT[low + 1][j] - part)));
}

/** Fetch a grey PNG: its values with width and height, and the response's headers. */
export async function readGrey(path, signal) {
  const answer = await patiently(() => ask(path, { signal }), signal);
  const bitmap = await createImageBitmap(await answer.blob(), {
    premultiplyAlpha: "none",
    colorSpaceConversion: "none",
  });
  const { width, height } = bitmap;
  const drawing = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  drawing.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = drawing.getImageData(0, 0, width, height).data;
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i += 1) values[i] = pixels[4 * i];
  return { values, width, height, headers: answer.headers };
}

/**
 * Add planes up in their colours.
 *
 * @param {{width: number, height: number}} size of the picture; planes of another size, as while finer ones arrive,
 *   are left out
 * @param {[string, object][]} planes of channels by name: `values` 0 to 255 for intensities from `low` to `high`, of
 *   which those of `window` are stretched from black to full colour
 * @param {boolean} grey whether colours are taken away, for a heat map
 * @returns {OffscreenCanvas} the picture
 */
export function compose({ width, height }, planes, grey) {
  const image = new ImageData(width, height);
  const out = image.data; // clamped: sums end at 255
  for (let o = 3; o < out.length; o += 4) out[o] = 255;
  for (const [name, plane] of planes) {
    const { values } = plane;
    if (plane.width !== width || plane.height !== height) continue;
    const [red, green, blue] = colourValues(plane, COLOURS[name] ?? WHITE);
    for (let i = 0, o = 0; i < values.length; i += 1, o += 4) {
      const value = values[i];
      out[o] += red[value];
      out[o + 1] += green[value];
      out[o + 2] += blue[value];
    }
  }
  if (grey) {
    for (let o = 0; o < out.length; o += 4)
      out[o] = out[o + 1] = out[o + 2] = DIM * Math.max(out[o], out[o + 1], out[o + 2]);
  }
  return paint(image);
}

/** Red, green and blue of each of a plane's 256 values. */
function colourValues({ low, high, window: [dark, bright] }, colour) {
  const parts = colour.map(() => new Uint8Array(256));
  for (let value = 0; value < 256; value += 1) {
    const intensity = low + (value / 255) * (high - low);
    const share = Math.min(Math.max((intensity - dark) / Math.max(bright - dark, 1e-9), 0), 1);
    parts.forEach((part, j) => (part[value] = colour[j] * share));
  }
  return parts;
}

/** Colour a heat map; what says little stays clear. */
export function drawHeat({ values, width, height }) {
  const image = new ImageData(width, height);
  for (let i = 0; i < values.length; i += 1) {
    const share = values[i] / 255;
    image.data.set([...heatColour(share), 255 * Math.min(1, share * CLEAR)], 4 * i);
  }
  return paint(image);
}

function paint(image) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
