// Arrays of NumPy's .npz, stored without compression, as `features.npz` is.

import { entries } from "../upload/zip.js";

/** @typedef {{ shape: number[], data: Float32Array | Float64Array | Uint8Array | BigInt64Array }} NpArray */

/** @type {Record<string, new (buffer: ArrayBuffer) => NpArray["data"]>} */
const KINDS = { "<f4": Float32Array, "<f8": Float64Array, "|b1": Uint8Array, "|u1": Uint8Array, "<i8": BigInt64Array };

/**
 * Read every array of a kind that is known, by name. Raises Error where the file is none.
 * @param {Blob} file
 * @returns {Promise<Map<string, NpArray>>}
 */
export async function readNpz(file) {
  const listed = await entries(file);
  if (listed === null) throw new Error("the arrays are damaged");
  const found = await Promise.all(listed.map(async ({ name, first }) => {
    const array = parse(await first(file.size));
    return array && /** @type {const} */ ([name.replace(/\.npy$/, ""), array]);
  }));
  return new Map(found.filter((each) => each !== null));
}

/**
 * One array (NEP 1); null of a kind that the page has no use for.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {NpArray | null}
 */
function parse(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const long = bytes[6] > 1;
  const start = long ? 12 : 10;
  const end = start + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const kind = KINDS[/'descr': '([^']+)'/.exec(header)?.[1] ?? ""];
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1];
  if (kind === undefined || shape === undefined || header.includes("'fortran_order': True")) return null;
  return { shape: shape.split(",").filter((size) => size.trim()).map(Number), data: new kind(bytes.slice(end).buffer) };
}
